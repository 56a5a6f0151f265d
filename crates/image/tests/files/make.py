"""Writes the image files of this folder and, as `expected/NAME.png`, what Pillow makes of each. Made with Pillow 13.0.0 and numpy 2.4.

Run it in this folder. Expected is: EXIF orientation applied, first frame, alpha on white, of 16-bit samples the high byte.
The files under `broken/` have no expected picture.
"""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

W, H = 24, 16


def picture(seed=0):
    """Smooth colours and one sharp block: friendly to lossy formats, but no side looks like another."""
    y, x = np.mgrid[0:H, 0:W]
    red, green, blue = 40 + x * 8, 30 + y * 12, 200 - x * 3 - y * 5
    rgb = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    rgb[2:6, 3:11] = (250, 20 + seed * 60, 60)
    return rgb


def write(name, data):
    with open(name, "wb") as file:
        file.write(data)


def expect(name, image=None):
    if image is None:
        image = Image.open(name)
        image = ImageOps.exif_transpose(image)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image.convert("RGB").save(f"expected/{name}.png")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, colour, rows):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def save(name, image, **options):
    image.save(name, **options)
    expect(name)


def valid():
    rgb = Image.fromarray(picture())
    alpha = np.linspace(0, 255, W * H).astype(np.uint8).reshape(H, W)
    rgba = Image.fromarray(np.dstack([picture(), alpha]))
    save("rgb.png", rgb)
    save("rgb.bmp", rgb)
    save("palette.bmp", rgb.quantize(16))
    save("rgba.png", rgba)
    save("gray_alpha.png", rgba.convert("LA"))
    save("one_bit.png", rgb.convert("1"))
    save("palette_4_bit.png", rgb.quantize(9), bits=4)
    save("palette_transparent.png", rgb.quantize(9), transparency=2)
    save("interlaced.gif", rgb, interlace=1)
    save("transparent.gif", rgb.quantize(9), transparency=2)
    frames = [Image.fromarray(picture(seed)) for seed in (1, 2, 3)]
    save("animated.gif", frames[0], save_all=True, append_images=frames[1:])
    save("animated.webp", frames[0], save_all=True, append_images=frames[1:], lossless=True)
    save("lossless.webp", rgba, lossless=True, exact=True)
    save("lossy.webp", rgb, quality=90)
    save("lossy_alpha.webp", rgba, quality=90)
    save("baseline_444.jpg", rgb, quality=92, subsampling=0)
    save("baseline_420.jpg", rgb, quality=92, subsampling=2)
    save("progressive.jpg", rgb, quality=92, progressive=True)
    save("restart.jpg", rgb, quality=92, restart_marker_blocks=1)
    save("gray.jpg", rgb.convert("L"), quality=92)
    save("cmyk.jpg", rgb.convert("CMYK"), quality=95)
    for code in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = code
        save(f"orientation_{code}.jpg", rgb, quality=95, subsampling=0, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("orientation_6.png", rgb, exif=exif)
    save("orientation_6.webp", rgb, exif=exif, lossless=True)

    wide = picture().astype(np.uint16) << 8 | 0xCD
    write("rgb_16_bit.png", png(W, H, 16, 2, [row.astype(">u2").tobytes() for row in wide]))
    expect("rgb_16_bit.png", Image.fromarray(picture()))
    write("gray_16_bit.png", png(W, H, 16, 0, [row.astype(">u2").tobytes() for row in wide[..., 1]]))
    expect("gray_16_bit.png", Image.fromarray(picture()[..., 1]))


def broken():
    write("broken/empty.png", b"")
    write("broken/text.png", b"This is not an image.\n" * 9)
    write("broken/tiff.png", b"II*\0" + bytes(60))
    side = 100_000
    write("broken/huge.png", png(side, side, 8, 2, []))
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    write("broken/huge.bmp", header)
    write("broken/large.bmp", header.replace(struct.pack("<i", side), struct.pack("<i", 65_000)))
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x01\x2c\x00"
    write("broken/huge.gif", b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + frame + b";")
    canvas = struct.pack("<I", 60_000 - 1)[:3]
    extended = b"VP8X" + struct.pack("<IB3x", 10, 0) + canvas * 2
    extended += b"VP8L" + struct.pack("<I", 6) + b"\x2f" + bytes(5)
    write("broken/huge.webp", b"RIFF" + struct.pack("<I", 4 + len(extended)) + b"WEBP" + extended)
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", quality=92)
    jpeg = buffer.getvalue()
    write("broken/huge.jpg", jpeg.replace(struct.pack(">HH", H, W), struct.pack(">HH", 65_500, 65_500), 1))


os.makedirs("expected", exist_ok=True)
os.makedirs("broken", exist_ok=True)
valid()
broken()
