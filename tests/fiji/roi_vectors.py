# Jython: the shared vectors through quietframe_fiji.regions; run by test_snr_imagej.py.
# @ String path
# @output String rows

import json

from ij.process import FloatProcessor
from ij import ImagePlus
from jarray import array
from org.quietframe import RoiStatistics
from quietframe_fiji import regions

found = []
for case in json.load(open(path))["cases"]:
    values = [float(value) for row in case["image"] for value in row]
    processor = FloatProcessor(len(case["image"][0]), len(case["image"]), array(values, "f"))
    image = ImagePlus(case["name"], processor)
    rois = [RoiStatistics.find(image, ",".join(map(str, case[name])), name) for name in ("bright", "dark")]
    found.append(regions._row(image, 1, rois))
rows = json.dumps(found)
