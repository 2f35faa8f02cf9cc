"""Measure regions of an ImageJ image, plane by plane, into ImageJ's Results table. Runs in Jython only."""

from ij.measure import ResultsTable
from org.quietframe import Command, Hyperstacks, Problem, RoiStatistics

from quietframe_fiji import snr

BLOCK = 17  # side of the automatic squares [px], as in quietframe.metrics.single


def measure_image(image, bright, dark):
    """Add a row per plane to the Results table; return the row of the plane that is shown."""
    Hyperstacks.requireGray(image)
    shown = image.getCurrentSlice()
    # The same regions on all planes, so that rows can be compared.
    regions = [_region(image, shown, text, name) for name, text in (("bright", bright), ("dark", dark))]
    table = ResultsTable.getResultsTable()
    planes = image.getStackSize()
    result = None
    for index in range(1, planes + 1):
        Command.progress(index - 1, planes)
        row = _row(image, index, regions)
        _write(table, image, index, regions, row)
        if index == shown:
            result = row
    table.show("Results")
    return result


def _region(image, shown, text, name):
    if text.strip() != "auto":
        return RoiStatistics.find(image, text, name)
    return RoiStatistics.extremeBlock(Hyperstacks.plane(image, shown), image.getWidth(), BLOCK, name == "bright")


def _row(image, index, regions):
    plane = Hyperstacks.plane(image, index)
    width = image.getWidth()
    bright, dark = [
        RoiStatistics.of(plane, width, roi, name + " region") for roi, name in zip(regions, ("bright", "dark"))
    ]
    maximum = RoiStatistics.of(plane, width, None, "image").maximum
    try:
        return snr.measure(bright, dark, maximum)
    except ValueError as error:
        return Problem.stop(str(error))


def _write(table, image, index, regions, row):
    table.addRow()
    label = image.getStack().getSliceLabel(index) if image.getStackSize() > 1 else None
    table.addLabel(image.getTitle() + (":" + label.split("\n")[0] if label else ""))
    table.addValue("slice", index)
    for name in snr.COLUMNS:
        table.addValue(name, row[name])
    for name, roi in zip(("bright", "dark"), regions):
        box = roi.getBounds()
        table.addValue(name, "%d,%d,%d,%d" % (box.x, box.y, box.width, box.height))
