import numpy as np, rasterio, warnings, sys, io
from PIL import Image

warnings.simplefilter("ignore")
from rasterio.enums import *


def info(p):
    with rasterio.open(p) as d:
        print(
            p,
            d.count,
            d.dtypes,
            [c.name for c in d.colorinterp],
            d.tags(ns="IMAGE_STRUCTURE"),
            d.tags(1, ns="IMAGE_STRUCTURE"),
            d.photometric,
            d.mask_flag_enums[0],
            d.nodata,
        )
        return d.read()


def mk(p, data, **o):
    with rasterio.open(
        p, "w", driver="GTiff", width=data.shape[2], height=data.shape[1], count=data.shape[0], dtype=data.dtype, **o
    ) as d:
        d.write(data)


for b, t in ((1, "uint8"), (2, "uint8"), (4, "uint8"), (12, "uint16"), (16, "float32"), (24, "uint32")):
    mk(f"b{b}.tif", np.ones((1, 8, 8), t), nbits=b)
    info(f"b{b}.tif")
for ph, n in (("CMYK", 4), ("CIELAB", 3), ("ICCLAB", 3), ("ITULAB", 3), ("YCBCR", 3), ("RGB", 3)):
    for t in ("uint8", "uint16"):
        try:
            mk(f"{ph}{t}.tif", np.ones((n, 8, 8), t), photometric=ph, **({"compress": "JPEG"} if ph == "YCBCR" else {}))
            info(f"{ph}{t}.tif")
        except Exception as e:
            print(ph, t, e)
for t in ("uint8", "uint16", "float32", "int16"):
    mk(f"mw{t}.tif", np.full((1, 8, 8), 3, t), photometric="MINISWHITE")
    print(info(f"mw{t}.tif")[0, 0, 0])
for t in ("uint8", "uint16"):
    mk(f"mwa{t}.tif", np.full((2, 8, 8), 3, t), photometric="MINISWHITE", alpha="YES")
    print(info(f"mwa{t}.tif")[:, 0, 0])
    mk(f"mw3{t}.tif", np.full((3, 8, 8), 3, t), photometric="MINISWHITE")
    print(info(f"mw3{t}.tif")[:, 0, 0])
for b in (1, 4, 12):
    mk(f"mwb{b}.tif", np.zeros((1, 8, 8), "uint8" if b < 8 else "uint16"), photometric="MINISWHITE", nbits=b)
    print(info(f"mwb{b}.tif")[0, 0, 0])
with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
    with rasterio.open(
        "mwm.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8", photometric="MINISWHITE"
    ) as d:
        d.write(np.full((1, 8, 8), 3, "uint8"))
        d.write_mask(np.full((8, 8), 255, "uint8"))
print(info("mwm.tif")[0, 0, 0])
mk("mwn.tif", np.full((1, 8, 8), 3, "uint8"), photometric="MINISWHITE", nodata=3)
print(info("mwn.tif")[0, 0, 0])
