"""Files in and out: images, video and waveforms as tensors.

Reading: `container` opens a file, `times` says when each frame is shown, `video` gives its frames at any rate and
`track` its sound, with `frames` and `colour` for the pixels. Writing: `encoding` makes packets of tensors, `copying`
takes a file's own, and `muxing` writes both. `images` and `waveforms` are the arithmetic of both halves, `soundtrack`
that of a sound that is laid under a video.
"""
