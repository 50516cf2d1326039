def make_thumbnails(a, b):
    pass
