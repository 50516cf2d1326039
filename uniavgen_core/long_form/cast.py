"""Who speaks in a long clip, and in which pictures: the voices of its speakers, its scenes and the faces in them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..audio.voice import reference_mel, voiced_seconds
from ..config import pixel_frames
from ..face.steering import turn_mask
from ..speech.duration import reference_pace
from ..speech.reader import SpeechReader, Spoken, read_of
from .script import Line
from .step import SegmentRequest


@dataclass(frozen=True)
class ReferenceVoice:
    """A recorded voice that others' words are said in."""

    mel: Tensor
    """Natural log-mel (1, R, 80)."""
    transcript: Spoken
    """What is said in it."""
    pace: float
    """How fast it speaks, against the usual rate of its language."""
    key: str
    """A text that is another one for another recording or transcript."""


def recorded_voice(reader: SpeechReader, waveform: Tensor, sample_rate: int, transcript: str) -> ReferenceVoice:
    """The voice of a recording (batch, channels, samples), of which the first is used.

    Raises:
        ValueError: the sound is empty, silent or too long, or the transcript is not what is said in it.
    """
    heard = reader.read(transcript, name="reference transcript")
    mel = reference_mel(waveform, sample_rate, heard.text)
    pace = reference_pace(read_of(heard.units), heard.language, voiced_seconds(mel[0]))
    return ReferenceVoice(mel, heard, pace, digest_of(waveform[:1], name=f"{sample_rate} {heard.text}"))


@dataclass(frozen=True)
class SceneStart:
    """A picture that a clip may be cut to, and who is seen in it."""

    picture: Tensor | None
    """Image (1, H, W, 3) of values 0..1; None is the one that the clip starts with."""
    faces: Tensor | None = None
    """Masks (people, height, width) of values 0..1 of the faces of speakers 1, 2 and so on; None where one person is
    seen, or nothing is to say who speaks."""


@dataclass(frozen=True)
class Cast:
    """All voices and scenes, each counted from 1.

    Args:
        scenes: the first one is how the clip starts.
        voices: of speakers 1, 2 and so on; there may be none.
    """

    scenes: tuple[SceneStart, ...] = (SceneStart(None),)
    voices: tuple[ReferenceVoice, ...] = ()

    def face(self, line: Line) -> Tensor | None:
        """The mask (1, height, width) of who speaks a line, where it says who and the scene has masks."""
        faces = self.scenes[line.scene - 1].faces
        return None if line.speaker is None or faces is None else faces[line.speaker - 1 : line.speaker]

    def tells(self, request: SegmentRequest) -> bool:
        """Whether it is known whose face speaks in a segment, and not left to the model."""
        line = request.line
        return self.scenes[line.scene - 1].faces is not None and (
            line.speaker is not None or request.speaking is not None
        )

    def tokens(self, request: SegmentRequest, rows: int, columns: int) -> Tensor:
        """The mask (T, N) of whose face speaks in a segment's video tokens, where that is known.

        Who spoke before is masked as long as the past lasts.
        """
        faces, speaker = self.scenes[request.line.scene - 1].faces, request.line.speaker
        assert faces is not None
        if request.speaking is not None:
            return turn_mask(faces, request.speaking, rows, columns)
        assert speaker is not None
        past = request.past_speaker or speaker
        speaking = torch.zeros(pixel_frames(request.latent_frames), len(faces), dtype=torch.bool)
        given = pixel_frames(request.past_frames) if past != speaker else 0
        speaking[:given, past - 1], speaking[given:, speaker - 1] = True, True
        return turn_mask(faces, speaking, rows, columns)

    def voice(self, speaker: int | None) -> ReferenceVoice | None:
        """The voice of a speaker, where there are voices."""
        return self.voices[speaker - 1] if speaker is not None and self.voices else None

    def key(self, line: Line) -> str:
        """A text that is another one whenever a line's face, voice or picture is."""
        voice, face, picture = self.voice(line.speaker), self.face(line), self.scenes[line.scene - 1].picture
        return digest_of(*(each for each in (face, picture) if each is not None), name=voice.key if voice else "")

    def check(self, lines: Sequence[Line], recorded: int = 0) -> None:
        """Refuse a script that lets somebody speak, or shows a scene, of whom or of which nothing is known.

        Args:
            recorded: how many people's recordings say who speaks when.

        Raises:
            ValueError: it names the script's line.
        """
        if lines[0].scene != 1:
            raise ValueError(
                f"Line {lines[0].number} of the script has [scene {lines[0].scene}], but a clip begins with scene 1, "
                "the picture of its LATENT: give the LATENT the picture that is shown first."
            )
        for line in lines:
            if line.scene > len(self.scenes):
                raise ValueError(
                    f"Line {line.number} of the script is in scene {line.scene}, but there are only "
                    f"{len(self.scenes)}, that of the LATENT included: connect one UniAVGen Scene for each further one."
                )
            if line.speaker is not None:
                self._check_speaker(line, line.speaker)
            elif recorded > self._masks(line.scene):
                raise ValueError(
                    f"There are recordings of {recorded} people, but {_holder(line.scene)} holds "
                    f"{self._masks(line.scene)} masks: connect one mask for each person, as a batch."
                )

    def _check_speaker(self, line: Line, speaker: int) -> None:
        mark = f"Line {line.number} of the script has [speaker {speaker}]"
        if self.voices and speaker > len(self.voices):
            raise ValueError(
                f"{mark}, but voices holds {len(self.voices)}: connect one UniAVGen Speaker Voice for each person, one "
                "behind the other."
            )
        known = self._masks(line.scene)
        if speaker > known and (known or not self.voices):
            raise ValueError(
                f"{mark}, but {_holder(line.scene)} holds {known} masks: connect one mask for each person, as a batch."
            )

    def _masks(self, scene: int) -> int:
        faces = self.scenes[scene - 1].faces
        return 0 if faces is None else len(faces)


def _holder(scene: int) -> str:
    """The user's input that holds a scene's masks."""
    return "speakers" if scene == 1 else f"speakers of scene {scene}"


def digest_of(*tensors: Tensor, name: str = "") -> str:
    """A text of what tensors hold."""
    found = hashlib.sha256(name.encode())
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.cpu().contiguous().numpy().data)
    return found.hexdigest()
