"""What the workflows have in common: loaders, captions, a portrait, sampling, saving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from .flow import Flow, Link
from .node_kinds import SHARDS

PORTRAIT, PAIR, OTHER_PORTRAIT = "uniavgen_portrait.png", "uniavgen_two_people.png", "uniavgen_portrait_2.png"
CLIP, RECORDING, OTHER_RECORDING = "uniavgen_clip.mp4", "uniavgen_recording.wav", "uniavgen_recording_2.wav"
"""The pack's samples, which `web/samples.js` puts among ComfyUI's inputs where a graph names one."""
CLIP_WORDS, RECORDING_WORDS, OTHER_WORDS = "Hello, three red birds.", "We see one blue cat.", "I like two white dogs."
"""What is said in the samples with sound."""
CLIP_SIZE = 512
"""Width and height of the sample clip."""
PERSON, OTHER_PERSON, SEED = 550000025, 550000024, 4
"""A woman and a man whom the small model shows well, and from which noise: chosen by eye of 40 clips."""

Links = list[Link]
"""A node's outputs. Where one is asked for, the first is taken."""
WITH_SCRIPT = "Conditioning (the script replaces its words)"


@dataclass(frozen=True)
class ModelSettings:
    """What differs between the two models, wherever a workflow says nothing else.

    Attributes:
        caption: of one person.
        caption_of_two: of two people, which leaves open who speaks.
        seconds: length of a clip; 0 is that of its words.
        segment_seconds: longest part of a long clip.
        steps, shift: of the sampling.
        guidance: of the guider.
    """

    caption: str
    caption_of_two: str
    speech: str
    seconds: float
    segment_seconds: float
    pace: float
    steps: int
    shift: float
    guidance: dict[str, Any]


RELEASED = ModelSettings(
    caption="A young woman looks at the camera and speaks in a warm, friendly voice. Soft daylight, plain background.",
    caption_of_two="A woman and a man sit side by side and look at the camera. One of them speaks in a warm, friendly "
    "voice. Soft daylight, plain background.",
    speech="Hello! It is so nice to meet you. Let me tell you something about my day.",
    seconds=0,
    segment_seconds=5.1,
    pace=1,
    steps=50,
    shift=5,
    guidance={"video_scale": 3, "audio_scale": 2},
)
SMALL = ModelSettings(
    caption="A happy woman looks at the camera and speaks.",
    caption_of_two="A woman and a man, one of them speaks in a happy mood.",
    speech="Hello, three red birds.",
    seconds=2,
    segment_seconds=2.5,
    pace=0.75,
    steps=25,
    shift=2,
    guidance={"video_scale": 2, "audio_scale": 2.5, "skip_block": "none"},
)


class FirstClip(NamedTuple):
    """What goes on from the first clip to the second: the words or their node, the negative caption, and the clip."""

    speech: Any
    negative: Links
    sampled: Links


class ModelFlow(Flow):
    """A workflow for the released model or for the small one.

    Args:
        name: of the description.
        tiny: it is for the small model.
        samples: it begins with files also for the small model, whose open graph makes a first clip instead; and it
            shows nothing but its clip.

    Attributes:
        tiny, samples: as given.
        makes_clips: what the released model's workflow loads from a file is made by the small model.
        settings: what the model needs.
        model, clip, vae, audio_vae: what the loaders give.
    """

    model: Link
    clip: Link
    vae: Link
    audio_vae: Link

    def __init__(self, name: str, tiny: bool, samples: bool = False) -> None:
        super().__init__(f"tiny_{name}" if tiny else name)
        self.tiny = tiny
        self.samples = samples
        self.makes_clips = tiny and not samples
        self.released_name = name
        self.settings = SMALL if tiny else RELEASED

    def load(self, files: str = "**no files**", more: str = "") -> None:
        """The first column.

        Args:
            files: what the small model's graph needs.
            more: note that follows on what is said of the small model, by default the one of the workflow's name.
        """
        self.group("Load")
        if self.tiny:
            self.model, self.clip, self.vae, self.audio_vae = self.add("UniAVGenTinyLoader")
            self.note("small_world", more or self.name, name=self.released_name, files=files)
            return
        (self.model,) = self.add("UniAVGenModelLoader", model_name=f"UniAVGen/{SHARDS}")
        encoder = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
        (self.clip,) = self.add("CLIPLoader", "Load caption encoder", clip_name=encoder, type="wan")
        self.note("files")
        (self.vae,) = self.add("VAELoader", vae_name="wan2.2_vae.safetensors")
        (self.audio_vae,) = self.add("UniAVGenAudioCodecLoader", vocoder_name=f"code2wav_bigvgan_model/{SHARDS}")

    def caption(self, text: str | None = None, title: str = "Caption") -> Links:
        """What is seen and heard, by default one person."""
        return self.add("CLIPTextEncode", title, clip=self.clip, text=self.settings.caption if text is None else text)

    def captions(self, text: str | None = None, negative: Links | None = None) -> dict[str, Links]:
        """The caption, and the negative one, which may be there already."""
        return {"positive": self.caption(text), "negative": negative or self.caption("", "Negative caption")}

    def portrait(self) -> Links:
        """A picture of one person."""
        return self.add("UniAVGenTinyPortrait", person=PERSON) if self.makes_clips else self.picture("Portrait")

    def pair(self) -> Links:
        """A picture of two people."""
        if not self.makes_clips:
            return self.picture("A picture of two people", PAIR)
        left, right = self.two_portraits("The one on the left", "The one on the right")
        return self.add("ImageStitch", "Both side by side", image1=left, image2=right)

    def two_portraits(
        self, first: str = "Portrait of scene 1", second: str = "Portrait of scene 2"
    ) -> tuple[Links, Links]:
        """Pictures of two people."""
        if not self.makes_clips:
            return self.picture(first), self.picture(second, OTHER_PORTRAIT)
        woman = self.add("UniAVGenTinyPortrait", first)
        return woman, self.add("UniAVGenTinyPortrait", second, kind="man", person=OTHER_PERSON)

    def picture(self, title: str, file: str = PORTRAIT) -> Links:
        """A picture of the user's."""
        return self.add("LoadImage", title, image=file)

    def video(self, title: str) -> Links:
        """A clip of the user's."""
        return self.add("LoadVideo", title, file=CLIP)

    def recording(self, title: str, file: str = RECORDING) -> Links:
        """A sound of the user's."""
        return self.add("LoadAudio", title, audio=file)

    def conditioning(self, captions: dict[str, Links], title: str | None = None, **inputs: Any) -> dict[str, Link]:
        """Captions and words, as a sampler takes them; the words are given, or the model's own."""
        words = {"speech": self.settings.speech}
        positive, negative = self.add("UniAVGenConditioning", title, **captions, **words | inputs)
        return {"positive": positive, "negative": negative}

    def latent(self, task: str, people: int = 1, **inputs: Any) -> Links:
        """The latent to fill: of the released model as large as what is given, of the small one as that draws."""
        size = {"size": "custom", "size__width": 128 * people, "size__height": 128} if self.tiny else {}
        return self.add("UniAVGenLatent", vae=self.vae, task=task, **size, **inputs)

    def clip_of(self, conditioning: dict[str, Link], people: int = 1, task: str = "joint", **inputs: Any) -> Links:
        """The latent of a clip that is as long as its words."""
        lasting = {"seconds": self.settings.seconds}
        return self.latent(task, people, conditioning=conditioning["positive"], **lasting | inputs)

    def sample(self, conditioning: dict[str, Link], latent: Links, model: Any = None, **inputs: Any) -> Links:
        """All steps at once, by `model` or the loaded one."""
        settings = {"steps": self.settings.steps, "shift": self.settings.shift} | self.settings.guidance
        return self.add(
            "UniAVGenSampler", model=model or self.model, **conditioning, latent_image=latent, **settings | inputs
        )

    def decode_picture(self, sampled: Links) -> Links:
        """Frames."""
        return self.add("VAEDecode", "Decode picture", samples=sampled, vae=self.vae)

    def decode_sound(self, sampled: Links) -> Links:
        """The sound."""
        return self.add("VAEDecodeAudio", "Decode sound", samples=sampled, vae=self.audio_vae)

    def save(self, picture: Any, audio: Any, **inputs: Any) -> None:
        """Put picture and sound together in a file."""
        self.save_video(self.add("UniAVGenAVMux", video=picture, audio=audio, **inputs))

    def save_video(self, video: Any) -> None:
        """A file of the workflow's name."""
        prefix = "video/UniAVGen" if self.samples else f"video/UniAVGen_{self.name}"
        self.add("SaveVideo", video=video, filename_prefix=prefix)

    def decode_and_save(self, sampled: Links) -> None:
        """The last column, where nothing is done between sampling and saving."""
        self.group("Decode and save")
        self.save(self.decode_picture(sampled), self.decode_sound(sampled))

    def put_back(self, sampled: Links, **clips: Links) -> None:
        """The last column of what changes a video."""
        self.group("Decode, put back and save")
        frames, sound = self.decode_picture(sampled), self.decode_sound(sampled)
        self.save_video(self.add("UniAVGenPutBack", latent=sampled, images=frames, audio=sound, **clips))

    def first_clip(
        self,
        person: int = PERSON,
        words_node: bool = False,
        group: str = "Sample the first clip",
        kind: str = "woman",
        negative: Links | None = None,
        seed: int = 0,
    ) -> FirstClip:
        """Two columns of the small model, which make what the released one's workflow loads from a file.

        Args:
            person: who is drawn.
            words_node: the words have a node of their own, which others can take them from, too.
            group: title of the second column, which may go on.
            kind: of that person.
            negative: the negative caption, where there is one already.
            seed: of the sampling.
        """
        self.group("A first clip")
        portrait = self.add("UniAVGenTinyPortrait", person=person, **({} if kind == "woman" else {"kind": kind}))
        caption = self.settings.caption.replace("woman", kind)
        captions = {"positive": self.caption(caption, title="Caption of the first clip")}
        captions["negative"] = negative or self.caption("", "Negative caption")
        speech: Any = self.settings.speech
        if words_node:
            speech = self.add("PrimitiveStringMultiline", "Words of the first clip", value=speech)
        conditioning = self.conditioning(captions, speech=speech)
        latent = self.clip_of(conditioning, portrait=portrait)
        self.group(group)
        return FirstClip(
            speech, captions["negative"], self.sample(conditioning, latent, **({"seed": seed} if seed else {}))
        )

    def guider_and_schedule(self, conditioning: dict[str, Link]) -> tuple[Links, Links, Links]:
        """The released way of sampling, node by node: guider, sampler and schedule."""
        guider = self.add("UniAVGenGuider", model=self.model, **conditioning, **self.settings.guidance)
        sampler = self.add("KSamplerSelect", sampler_name="euler")
        settings = {"steps": self.settings.steps, "shift": self.settings.shift, "scheduler": "released"}
        return guider, sampler, self.add("UniAVGenScheduler", **settings)

    def guide_and_make(self, conditioning: dict[str, Link], latent: Links, script: Links, **inputs: Any) -> None:
        """The last two columns of a clip of several segments."""
        self.group("Guide")
        noise = self.add("RandomNoise", control_after_generate="fixed")
        guider, sampler, sigmas = self.guider_and_schedule(conditioning)
        self.group("Make and save")
        video, report, subtitles = self.add(
            "UniAVGenLongForm",
            guider=guider,
            sampler=sampler,
            sigmas=sigmas,
            noise=noise,
            latent_image=latent,
            vae=self.vae,
            audio_vae=self.audio_vae,
            script=script,
            **{"pace": self.settings.pace} | inputs,
        )
        self.save_video(video)
        if self.samples:
            return
        self.add("PreviewAny", "What is said when", source=report)
        self.add("PreviewAny", "Subtitles (SRT)", source=subtitles)
