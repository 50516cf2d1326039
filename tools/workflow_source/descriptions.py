"""The workflows: what each one does, from left to right, for the released model and for the small one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .flow import Flow
from .model_flow import (
    CLIP_WORDS,
    OTHER_RECORDING,
    OTHER_WORDS,
    PORTRAIT,
    RECORDING_WORDS,
    SEED,
    WITH_SCRIPT,
    Links,
    ModelFlow,
)
from .universe_flow import OF_UNIVERSE, UniverseFlow

DETECTOR = "face_detection_yunet_2023mar.onnx"


def joint_generation(flow: ModelFlow) -> None:
    """A portrait says a sentence."""
    flow.load()
    conditioning, latent = portrait_with_words(flow)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, **({"seed": SEED} if flow.tiny else {}))
    flow.note("guidance")
    flow.decode_and_save(sampled)


def portrait_with_words(flow: ModelFlow) -> tuple[dict[str, Any], Links]:
    """Two columns: a portrait, captions and words, and what the sampler takes of them."""
    flow.group("Portrait and words")
    captions, portrait = flow.captions(), flow.portrait()
    flow.group("Condition")
    conditioning = flow.conditioning(captions)
    latent = flow.clip_of(conditioning, portrait=portrait)
    if not flow.tiny:
        flow.note("portrait")
    return conditioning, latent


def fast(flow: ModelFlow) -> None:
    """The same with few passes through the model."""
    flow.load()
    conditioning, latent = portrait_with_words(flow)
    flow.group("Sample in few passes")
    model = flow.add("EasyCache", model=flow.model)
    sampled = flow.sample(conditioning, latent, model, steps=25, end_percent=0.5)
    flow.note("tiny_few_passes" if flow.tiny else "few_passes")
    flow.decode_and_save(sampled)


def changing_mood(flow: ModelFlow) -> None:
    """A person's mood changes in the middle of a sentence."""
    flow.load()
    flow.group("Portrait, captions and words")
    captions, portrait = flow.captions(), flow.portrait()
    later = "A young woman looks at the camera and speaks in a sad, slow voice. Soft daylight, plain background."
    after = flow.caption("A sad woman looks at the camera and speaks." if flow.tiny else later, "Caption after it")
    flow.group("Condition")
    conditioning = flow.conditioning(captions)
    moment = 1 if flow.tiny else 2.5
    (changing,) = flow.add("UniAVGenCaptionChange", positive=conditioning["positive"], caption=after, seconds=moment)
    latent = flow.clip_of(conditioning, portrait=portrait)
    if not flow.tiny:
        flow.note("mood")
    flow.group("Sample")
    flow.decode_and_save(flow.sample(conditioning | {"positive": changing}, latent))


def best_of(flow: ModelFlow) -> None:
    """Several seeds are tried, and the one whose lips follow its sound best is finished."""
    flow.load()
    conditioning, latent = portrait_with_words(flow)
    flow.group("Guide")
    guider, sampler, sigmas = flow.guider_and_schedule(conditioning)
    flow.group("Try four seeds")
    found = {} if flow.tiny else {"detector": DETECTOR}
    made, _, report = flow.add(
        "UniAVGenBestOf", guider=guider, sampler=sampler, sigmas=sigmas, latent_image=latent, vae=flow.vae,
        audio_vae=flow.audio_vae, **found,
    )  # fmt: skip
    flow.add("PreviewAny", "Lip sync of each", source=report)
    if not flow.tiny:
        flow.note("lips_of_seeds")
        flow.note("detector")
    flow.decode_and_save([made])


def reference_voice(flow: ModelFlow) -> None:
    """A portrait speaks with the voice of a recording."""
    flow.load()
    transcript: Any = RECORDING_WORDS
    if flow.makes_clips:
        first = flow.first_clip(person=7, words_node=True)
        flow.decode_picture(first.sampled)
        voice, transcript = flow.decode_sound(first.sampled), first.speech
        flow.group("Portrait, words and voice")
        captions, portrait = flow.captions(negative=first.negative), flow.portrait()
    else:
        flow.group("Portrait, words and voice")
        captions, portrait = flow.captions(), flow.portrait()
        voice = flow.recording("Reference voice")
        flow.note("reference")
    words, seconds = ("Goodbye, seven blue cats.", 2.3) if flow.tiny else (flow.settings.speech, flow.settings.seconds)
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=words, reference_audio=voice, reference_transcript=transcript)
    latent = flow.clip_of(conditioning, portrait=portrait, seconds=seconds)
    flow.group("Sample")
    flow.decode_and_save(flow.sample(conditioning, latent, seed=1))


def continuation(flow: ModelFlow) -> None:
    """A clip goes on."""
    flow.load()
    if flow.makes_clips:
        first = flow.first_clip()
        frames, sound = flow.decode_picture(first.sampled), flow.decode_sound(first.sampled)
        past = {"past": frames, "past_audio": sound}
        kept: dict[str, Any] = {"video": frames, "audio": first.sampled}
        flow.group("Words")
        captions = flow.captions(negative=first.negative)
    else:
        flow.group("The clip and the words")
        captions = flow.captions()
        clip = flow.video("The clip that goes on")
        past, kept = {"past": clip}, {"video": clip}
        flow.note("past")
    words, seconds = ("Birds, we see two green fish.", 2.5) if flow.tiny else ("And now the rest of the story.", 5.1)
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=words)
    latent = flow.latent("continuation", conditioning=conditioning["positive"], seconds=seconds, **kept)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.group("Decode and save")
    frames, sound = flow.decode_picture(sampled), flow.decode_sound(sampled)
    images, audio = flow.add("UniAVGenJoin", images=frames, audio=sound, **past)
    flow.save(images, audio)


def dubbing(flow: ModelFlow) -> None:
    """A clip gets a new voice."""
    flow.load()
    if flow.makes_clips:
        first = flow.first_clip()
        frames = flow.decode_picture(first.sampled)
        flow.decode_sound(first.sampled)
        clip = flow.add("CreateVideo", "The clip to dub", images=frames, fps=16)
        flow.group("Words")
        captions = flow.captions(negative=first.negative)
    else:
        flow.group("The clip and the words")
        captions, clip = flow.captions(), flow.video("The clip to dub")
        flow.note("any_clip")
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=CLIP_WORDS)
    latent = flow.latent("dubbing", video=clip)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.group("Decode and save")
    flow.save(clip, flow.decode_sound(sampled))


def audio_driven(flow: ModelFlow) -> None:
    """A portrait speaks a recording."""
    flow.load()
    words: Any = RECORDING_WORDS
    if flow.makes_clips:
        first = flow.first_clip(person=7, words_node=True)
        flow.decode_picture(first.sampled)
        recording, words = flow.decode_sound(first.sampled), first.speech
        flow.group("Portrait")
        captions, portrait = flow.captions(negative=first.negative), flow.portrait()
    else:
        flow.group("Portrait and recording")
        captions, portrait = flow.captions(), flow.portrait()
        recording = flow.recording("The recording")
        flow.note("recording")
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=words)
    latent = flow.latent("audio_driven", portrait=portrait, audio=recording)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.group("Decode and save")
    flow.save(flow.decode_picture(sampled), recording, length="audio")


def resync(flow: ModelFlow) -> None:
    """A video gets new lips: for a recording, or for the small model, which has none, for words."""
    flow.load()
    words, negative = "Hello, two black dogs." if flow.tiny else "", None
    if flow.makes_clips:
        first = flow.first_clip()
        frames, sound = flow.decode_picture(first.sampled), flow.decode_sound(first.sampled)
        clip = flow.add("CreateVideo", "The clip that gets new lips", images=frames, audio=sound, fps=16)
        negative = first.negative
    flow.group("New words and where the mouth is" if flow.tiny else "The clip and its new sound")
    captions = flow.captions(None if flow.tiny else "A person looks at the camera and speaks.", negative)
    if not flow.makes_clips:
        clip = flow.video("The clip that gets new lips")
    if flow.tiny:
        black = flow.add("SolidMask", "Black, as large as the picture", value=0, width=128, height=128)
        white = flow.add("SolidMask", "White, as large as mouth and chin", width=52, height=46)
        mask = flow.add("MaskComposite", "The mouth", destination=black, source=white, x=38, y=72, operation="add")
        given: dict[str, Any] = {"mask": mask}
    else:
        given = {"audio": flow.recording("The new recording")}
        flow.note("resync")
        flow.note("detector")
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=words)
    latent = flow.latent("resync", video=clip, conditioning=conditioning["positive"], **given)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.group("Decode and save")
    audio = given.get("audio") or flow.decode_sound(sampled)
    pasted = flow.add("UniAVGenPutBack", latent=sampled, video=clip, images=flow.decode_picture(sampled), audio=audio)
    flow.save_video(pasted)


def retake(flow: ModelFlow) -> None:
    """A sentence in the middle of a video becomes another one."""
    flow.load()
    if flow.makes_clips:
        first = flow.first_clip()
        frames, sound = flow.decode_picture(first.sampled), flow.decode_sound(first.sampled)
        video = flow.add("CreateVideo", "The video", images=frames, audio=sound, fps=16)
        flow.group("Words")
        captions = flow.captions(negative=first.negative)
    else:
        flow.group("The video and the words")
        captions, video = flow.captions(), flow.video("The video")
    words = {"words_before": "Hello, three", "words": "blue cats."}
    chosen, speech = flow.add("UniAVGenRange", "What is made anew", start=1, end=1.9, **words)
    if not flow.tiny:
        flow.note("range")
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=[speech])
    latent = flow.latent("retake", conditioning=conditioning["positive"], video=video, range=[chosen])
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.put_back(sampled, video=video)


def bridge(flow: ModelFlow) -> None:
    """What lies between two clips."""
    flow.load()
    if flow.makes_clips:
        first = flow.first_clip()
        frames, sound = flow.decode_picture(first.sampled), flow.decode_sound(first.sampled)
        clip = flow.add("CreateVideo", "The clip, before and behind", images=frames, audio=sound, fps=16)
        clips = {"video": clip, "next_video": clip}
        flow.group("Words")
        captions = flow.captions(negative=first.negative)
    else:
        flow.group("The clips and the words")
        captions = flow.captions()
        clips = {
            "video": flow.video("The clip before the bridge"),
            "next_video": flow.video("The clip behind it"),
        }
        flow.note("bridge")
    if flow.tiny:
        words, kept = "Two white cats.", {"seconds": 1.5, "past_frames": 1}
    else:
        words, kept = "And that brings me to the next thing.", {"seconds": 0}
    flow.group("Condition")
    conditioning = flow.conditioning(captions, speech=words)
    latent = flow.latent("bridge", conditioning=conditioning["positive"], **kept, **clips)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.put_back(sampled, **clips)


def voice(flow: ModelFlow) -> None:
    """Ten voices are tried in sound alone; the picture is made for the one that is chosen."""
    flow.load()
    flow.group("Portrait and words")
    captions, portrait = flow.captions(), flow.portrait()
    flow.group("Try ten voices")
    conditioning = flow.conditioning(captions)
    latent = flow.clip_of(conditioning, task="voice", portrait=portrait, batch_size=10)
    flow.group("Sample the voices")
    voices = flow.decode_sound(flow.sample(conditioning, latent))
    flow.group("Listen and choose")
    chosen, in_turn = flow.add("UniAVGenChooseVoice", audio=voices, number=1)
    flow.add("PreviewAudio", "All in turn", audio=in_turn)
    flow.note("audition")
    flow.group("Make the picture")
    driven = flow.latent("audio_driven", portrait=portrait, audio=chosen)
    sampled = flow.sample(conditioning, driven, seed=1)
    flow.group("Decode and save")
    flow.save(flow.decode_picture(sampled), chosen, length="audio")


def long_form(flow: ModelFlow) -> None:
    """A portrait says a paragraph."""
    story = (
        "The old house stood empty for years, and nobody went near it. Then one spring the birds came back: three of "
        "them sat on the roof and sang. By summer there were so many that the neighbours came to listen. Nobody knows "
        "why."
    )
    if flow.tiny:
        story = "Hello, three red birds. We see two green fish. I like one white cat."
    portrait_with_script(flow, f"{flow.settings.caption} | {story}", "long_script")


def script(flow: ModelFlow) -> None:
    """A portrait says several lines, each with a caption of its own."""
    lines = (
        "A woman looks at the camera and speaks in a calm voice. | Good evening. [pause 0.5] This is the news.\n"
        "A woman smiles at the camera and speaks in a happy, bright voice. | [seed 7] The birds are back! Three of "
        "them were seen on the old house.\n"
        "A woman looks at the camera and speaks in a sad, slow voice. | But nobody knows for how long. [pause 1] Good "
        "night."
    )
    if flow.tiny:
        lines = (
            "A happy woman looks at the camera and speaks. | Hello, three red birds. [pause 0.5] We see one blue cat.\n"
            "An angry woman looks at the camera and speaks. | [seed 7] I see two black dogs.\n"
            "A sad woman looks at the camera and speaks. | Goodbye, four white fish."
        )
    portrait_with_script(flow, lines, "script")


def portrait_with_script(flow: ModelFlow, lines: str, note: str) -> None:
    """The whole workflow of a long clip of one person. The released model's has a note."""
    flow.load()
    flow.group("Portrait and script")
    spoken = flow.add("UniAVGenScript", clip=flow.clip, script=lines)
    captions, portrait = flow.captions(), flow.portrait()
    if not flow.tiny:
        flow.note(note)
    flow.group("Condition")
    conditioning = flow.conditioning(captions, WITH_SCRIPT, speech="")
    latent = flow.latent("joint", portrait=portrait, seconds=flow.settings.segment_seconds)
    flow.guide_and_make(conditioning, latent, spoken)


def dialogue(flow: ModelFlow) -> None:
    """Two people speak in turn."""
    flow.load()
    pair_in_turn(flow)


def two_voices(flow: ModelFlow) -> None:
    """Two people in one picture speak in turn, each with a recorded voice."""
    flow.load()
    voices, negative = voices_of_two(flow)
    pair_in_turn(flow, negative, voices=voices, pace=1)


def pair_in_turn(flow: ModelFlow, negative: Links | None = None, **more: Any) -> None:
    """All but the first columns of a dialogue in one picture; what else Long Form takes."""
    caption = "A woman and a man sit side by side and talk in calm voices. Soft daylight, plain background."
    lines = (
        "[speaker 1] Did you hear the birds this morning?\n"
        "[speaker 2] I did. [pause 0.5] They are back on the roof of the old house.\n"
        "[speaker 1] Then spring has come at last."
    )
    if flow.tiny:
        caption = flow.settings.caption_of_two
        lines = "[speaker 1] Hello, three red birds.\n[speaker 2] We see one blue cat.\n[speaker 1] Goodbye, four fish."
    flow.group("People and script")
    spoken = flow.add("UniAVGenScript", clip=flow.clip, script=f"{caption} | {lines}")
    captions, pair = flow.captions(caption, negative=negative), flow.pair()
    titles = ("Speaker 1: the left face", "Speaker 2: the right face")
    flow.group("Who speaks")
    masks = list(drawn_masks(flow, *titles) if flow.tiny else found_masks(flow, pair, *titles))
    if not flow.tiny:
        flow.note("who_speaks_when")
        flow.note("detector")
    flow.group("Condition")
    speakers = flow.add("BatchMasksNode", "Batch Masks: speakers 1 and 2", masks__mask0=masks[0], masks__mask1=masks[1])
    conditioning = flow.conditioning(captions, WITH_SCRIPT, speech="")
    latent = flow.latent("joint", people=2, portrait=pair, seconds=flow.settings.segment_seconds)
    flow.guide_and_make(conditioning, latent, spoken, speakers=speakers, **more)


def cuts(flow: ModelFlow) -> None:
    """Two people speak in turn, and the picture is cut to who speaks."""
    flow.load()
    lines = (
        "A woman looks at the camera and speaks in a calm voice. Soft daylight, plain background. | [scene 1] "
        "[speaker 1] Did you hear the birds this morning?\n"
        "A man looks at the camera and speaks in a calm voice. Soft daylight, plain background. | [scene 2] "
        "[speaker 2] I did. They are back on the roof of the old house.\n"
        "A woman looks at the camera and speaks in a calm voice. Soft daylight, plain background. | [scene 1] "
        "[speaker 1] Then spring has come at last."
    )
    if flow.tiny:
        lines = (
            "A happy woman looks at the camera and speaks. | [scene 1] [speaker 1] Hello, three red birds.\n"
            "A happy man looks at the camera and speaks. | [scene 2] [speaker 2] We see one blue cat.\n"
            "A happy woman looks at the camera and speaks. | [scene 1] [speaker 1] Goodbye, four fish."
        )
    voices, negative = voices_of_two(flow)
    flow.group("Portraits and script")
    spoken = flow.add("UniAVGenScript", clip=flow.clip, script=lines)
    captions = flow.captions(negative=negative)
    first, second = flow.two_portraits()
    if not flow.tiny:
        flow.note("cuts")
    flow.group("Condition")
    scenes = flow.add("UniAVGenScene", "UniAVGen Scene 2", portrait=second)
    conditioning = flow.conditioning(captions, WITH_SCRIPT, speech="")
    latent = flow.latent("joint", portrait=first, seconds=flow.settings.segment_seconds)
    flow.guide_and_make(conditioning, latent, spoken, voices=voices, scenes=scenes, pace=1)


def recordings(flow: ModelFlow) -> None:
    """Two people in one picture speak a recording each, one after the other."""
    flow.load()
    sounds, negative = list[Links](), None
    if flow.tiny:
        for kind, person, seed in (("woman", 7, 0), ("man", 550000024, 1)):
            first = flow.first_clip(person, kind=kind, negative=negative, seed=seed)
            sounds.append(flow.decode_sound(first.sampled))
            negative = first.negative
    flow.group("People and recordings")
    if not flow.tiny:
        sounds = [
            flow.recording("Recording of speaker 1"),
            flow.recording("Recording of speaker 2", OTHER_RECORDING),
        ]
    together, _, turns = flow.add("UniAVGenRecordings", audio_1=sounds[0], audio_2=sounds[1], order="in turn")
    caption = flow.settings.caption_of_two
    spoken = flow.add("UniAVGenScript", clip=flow.clip, script=f"{caption} |")
    captions, pair = flow.captions(caption, negative=negative), flow.pair()
    titles = ("Speaker 1: the left face", "Speaker 2: the right face")
    flow.group("Who speaks")
    masks = list(drawn_masks(flow, *titles) if flow.tiny else found_masks(flow, pair, *titles))
    flow.add("PreviewAny", "Who speaks when", source=turns)
    if not flow.tiny:
        flow.note("recordings")
        flow.note("detector")
    flow.group("Condition")
    speakers = flow.add("BatchMasksNode", "Batch Masks: speakers 1 and 2", masks__mask0=masks[0], masks__mask1=masks[1])
    conditioning = flow.conditioning(captions, WITH_SCRIPT, speech="")
    latent = flow.latent("joint", people=2, portrait=pair, seconds=flow.settings.segment_seconds)
    flow.guide_and_make(conditioning, latent, spoken, speakers=speakers, recording=together)


def voices_of_two(flow: ModelFlow) -> tuple[Links, Links | None]:
    """One column, or several of the small model: the voices of speakers 1 and 2, and a negative caption, if any."""
    sounds: list[tuple[Links, Any]] = []
    negative: Links | None = None
    if flow.tiny:
        for kind, person, seed in (("woman", 7, 0), ("man", 550000024, 1)):
            first = flow.first_clip(person, kind=kind, negative=negative, seed=seed)
            sounds.append((flow.decode_sound(first.sampled), first.speech))
            negative = first.negative
        flow.group("Voices")
    else:
        flow.group("Voices")
        sounds = [
            (flow.recording("Voice of speaker 1"), RECORDING_WORDS),
            (flow.recording("Voice of speaker 2", OTHER_RECORDING), OTHER_WORDS),
        ]
    voices: Links | None = None
    for speaker, (sound, said) in enumerate(sounds, 1):
        before = {} if voices is None else {"voices": voices}
        title = f"UniAVGen Speaker Voice {speaker}"
        voices = flow.add("UniAVGenSpeakerVoice", title, audio=sound, transcript=said, **before)
    if not flow.tiny:
        flow.note("voices")
    assert voices is not None
    return voices, negative


def found_masks(flow: ModelFlow, pair: Links, *titles: str | None) -> Iterator[Links]:
    """A mask of each face in a picture, from the left."""
    for number, title in enumerate(titles, 1):
        yield flow.add(
            "UniAVGenFaceMask",
            title,
            images=pair,
            detector=DETECTOR,
            margin=30,
            face="number",
            face__number=number,
        )


def drawn_masks(flow: ModelFlow, *titles: str) -> Iterator[Links]:
    """A mask of each face in the small model's picture of two, from the left."""
    black = flow.add("SolidMask", "Black, as large as the picture", value=0, width=256, height=128)
    white = flow.add("SolidMask", "White, as large as a face", width=80, height=80)
    for title, left in zip(titles, (24, 152), strict=False):
        yield flow.add("MaskComposite", title, destination=black, source=white, x=left, y=30, operation="add")


def two_speakers(flow: ModelFlow) -> None:
    """One of two people speaks."""
    flow.load()
    flow.group("People and words")
    captions, pair = flow.captions(flow.settings.caption_of_two), flow.pair()
    flow.group("Who speaks")
    (mask,) = drawn_masks(flow, "Where the left face is") if flow.tiny else found_masks(flow, pair, None)
    if not flow.tiny:
        flow.note("who_speaks")
        flow.note("detector")
    flow.group("Condition")
    model = flow.add("UniAVGenFaceGuidance", model=flow.model, mask=mask)
    conditioning = flow.conditioning(captions)
    latent = flow.clip_of(conditioning, people=2, portrait=pair)
    if not flow.samples:
        flow.add("MaskPreview", "The mask", mask=mask)
    flow.group("Sample")
    flow.decode_and_save(flow.sample(conditioning, latent, model))


def face_map(flow: ModelFlow) -> None:
    """The mask of the face that the model predicts is shown over its clip."""
    flow.load(more="face_map")
    flow.group("Portrait and words")
    captions, portrait = flow.captions(), flow.portrait()
    flow.group("Condition")
    model, kept = flow.add("UniAVGenFaceMapCapture", model=flow.model)
    conditioning = flow.conditioning(captions)
    latent = flow.clip_of(conditioning, portrait=portrait)
    if not flow.tiny:
        flow.note("face_map")
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, model)
    flow.group("Decode")
    frames, sound = flow.decode_picture(sampled), flow.decode_sound(sampled)
    overlay, mask = flow.add("UniAVGenFaceMap", face_map=kept, latent=sampled, images=frames)
    flow.add("MaskPreview", "The mask alone", mask=mask)
    flow.group("Join and save")
    flow.save(overlay, sound)


def chain_interpolation(flow: ModelFlow) -> None:
    """A clip gets twice the frames a second."""
    flow.load("**one file**, for the interpolation")
    conditioning, latent = portrait_with_words(flow)
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent)
    flow.group("Decode and interpolate")
    frames, sound = flow.decode_picture(sampled), flow.decode_sound(sampled)
    interpolator = flow.add("FrameInterpolationModelLoader", model_name="rife_v4.26.safetensors")
    doubled = flow.add("FrameInterpolate", interp_model=interpolator, images=frames)
    flow.note("interpolation")
    flow.group("Join and save")
    flow.save(doubled, sound, frame_rate=32, length="audio")


def chain_upscale(flow: ModelFlow) -> None:
    """Another generator's clip gets a voice, and twice the width and height."""
    flow.load()
    if flow.tiny:
        first = flow.first_clip(group="The other generator's clip")
        frames = flow.decode_picture(first.sampled)
        frame_rate = flow.add("PrimitiveFloat", "Frames a second", value=16)
        flow.group("Words")
        captions = flow.captions(negative=first.negative)
    else:
        flow.group("Portrait and words")
        captions = flow.captions()
        unlike = flow.caption(
            "blurred, still picture, subtitles, deformed face, bad teeth", "Negative caption of the other generator"
        )
        portrait = flow.portrait()
        flow.group("The other generator")
        frames = other_generator(flow, captions["positive"], unlike, portrait)
        frame_rate = flow.add("PrimitiveFloat", "Frames a second", value=24)
    flow.group("Condition")
    conditioning = flow.conditioning(captions)
    latent = flow.latent("dubbing", video=frames, frame_rate=frame_rate)
    if not flow.tiny:
        flow.note("other_generator")
    flow.group("Sample")
    sampled = flow.sample(conditioning, latent, seed=1)
    flow.group("Upscale")
    upscaled = upscale(flow, frames)
    flow.group("Decode and save")
    flow.save(upscaled, flow.decode_sound(sampled), frame_rate=frame_rate)


def other_generator(flow: ModelFlow, positive: Links, negative: Links, portrait: Links) -> Links:
    """Frames of Wan 2.2 5B."""
    loaded = flow.add("UNETLoader", "Load Wan 2.2 5B", unet_name="wan2.2_ti2v_5B_fp16.safetensors")
    model = flow.add("ModelSamplingSD3", model=loaded, shift=8)
    latent = flow.add("Wan22ImageToVideoLatent", vae=flow.vae, start_image=portrait, length=121)
    sampled = flow.add(
        "KSampler",
        model=model,
        positive=positive,
        negative=negative,
        latent_image=latent,
        control_after_generate="fixed",
        cfg=5,
        sampler_name="uni_pc",
        scheduler="simple",
    )
    return flow.add("VAEDecode", "Decode the other generator's clip", samples=sampled, vae=flow.vae)


def upscale(flow: ModelFlow, frames: Links) -> Links:
    """Twice as wide and high: by a model, or by plain means for the small one, which needs no files."""
    if flow.tiny:
        return flow.add("ImageScaleBy", image=frames, upscale_method="lanczos", scale_by=2)
    upscaler = flow.add("UpscaleModelLoader", model_name="2xNomosUni_compact_multijpg.safetensors")
    upscaled = flow.add("ImageUpscaleWithModel", upscale_model=upscaler, image=frames)
    flow.note("upscaling")
    return upscaled


def face_mask(flow: Flow) -> None:
    """A face is masked and cropped, without any model of video."""
    flow.group("Load")
    picture = flow.add("LoadImage", "A picture with a face", image=PORTRAIT)
    flow.note("face_mask")
    flow.group("Find the face")
    mask, where = flow.add("UniAVGenFaceMask", images=picture, detector=DETECTOR)
    flow.note("detector")
    flow.group("Mask and portrait")
    portrait, how_large = flow.add("UniAVGenFacePortrait", images=picture, detector=DETECTOR)
    red = flow.add("EmptyImage", "Red", width=64, height=64, color=0xFF0000)
    painted = flow.add(
        "ImageCompositeMasked", "Paint the face red", destination=picture, source=red, mask=mask, resize_source=True
    )
    over = flow.add("ImageBlend", "Half see-through", image1=picture, image2=painted)
    flow.group("Preview")
    flow.add("PreviewImage", "Mask over the picture", images=over)
    flow.add("PreviewImage", "Portrait", images=portrait)
    flow.add("PreviewAny", "Where a face is", source=where)
    flow.add("PreviewAny", "How large it is", source=how_large)


FOR_BOTH_MODELS: tuple[Callable[[ModelFlow], None], ...] = (
    joint_generation,
    fast,
    best_of,
    changing_mood,
    reference_voice,
    continuation,
    dubbing,
    audio_driven,
    resync,
    retake,
    bridge,
    voice,
    long_form,
    script,
    two_speakers,
    dialogue,
    two_voices,
    cuts,
    recordings,
    face_map,
    chain_upscale,
    chain_interpolation,
)
WITHOUT_MODEL: tuple[Callable[[Flow], None], ...] = (face_mask,)


def flows() -> Iterator[Flow]:
    """All workflows."""
    for describe in FOR_BOTH_MODELS:
        for tiny in (False, True):
            model_flow = ModelFlow(describe.__name__, tiny)
            describe(model_flow)
            yield model_flow
    for describe_universe in OF_UNIVERSE:
        universe_flow = UniverseFlow(describe_universe.__name__)
        describe_universe(universe_flow)
        yield universe_flow
    for describe_plain in WITHOUT_MODEL:
        flow = Flow(describe_plain.__name__)
        describe_plain(flow)
        yield flow
