"""A picture made small enough to lie in a web page, or in a database, in place of its file."""

import io


def small_jpeg(png: bytes, width: int = 640) -> bytes:
    """Returns the picture as JPEG of at most this width in pixels."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    if picture.width > width:
        picture = picture.resize((width, max(1, picture.height * width // picture.width)))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return content.getvalue()
