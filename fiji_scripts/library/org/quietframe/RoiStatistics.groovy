package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.gui.Roi
import ij.io.RoiDecoder
import ij.plugin.frame.RoiManager

import java.awt.Rectangle

/**
 * Mean, sample standard deviation (n - 1, as ImageJ's Measure shows it), minimum and maximum of regions, in double
 * precision; the automatic dark and bright squares. quietframe/metrics/single.py says what they are for.
 */
@CompileStatic
class RoiStatistics {

    final double mean, std, minimum, maximum
    final int pixels

    private RoiStatistics(double mean, double std, double minimum, double maximum, int pixels) {
        this.mean = mean
        this.std = std
        this.minimum = minimum
        this.maximum = maximum
        this.pixels = pixels
    }

    /** The statistics of the pixels of a region, on one plane as `Hyperstacks.plane` gives it; null = all pixels. */
    static RoiStatistics of(float[] plane, int width, Roi roi, String name) {
        Rectangle box = roi == null ? new Rectangle(0, 0, width, plane.length.intdiv(width) as int) : roi.bounds
        byte[] mask = roi == null || roi.mask == null ? null : (byte[]) roi.mask.pixels
        // Groovy reads box.x as getX(), a double; the field is the integer.
        int left = box.@x, top = box.@y, boxWidth = box.@width, boxHeight = box.@height
        double sum = 0, minimum = Double.POSITIVE_INFINITY, maximum = Double.NEGATIVE_INFINITY
        int count = 0, wrong = 0
        for (int y = 0; y < boxHeight; y++) {
            for (int x = 0; x < boxWidth; x++) {
                if (mask != null && mask[y * boxWidth + x] == 0) {
                    continue
                }
                double value = plane[(top + y) * width + left + x]
                count++
                if (Double.isNaN(value) || Double.isInfinite(value)) {
                    wrong++
                }
                sum += value
                minimum = Math.min(minimum, value)
                maximum = Math.max(maximum, value)
            }
        }
        if (wrong > 0) {
            throw new Problem("${wrong} of ${count} pixels of the ${name} are NaN or infinite; choose a region without them")
        }
        if (count < 2) {
            throw new Problem("the ${name} has ${count} pixel${count == 1 ? '' : 's'}; a standard deviation needs at " +
                'least 2: draw a larger region')
        }
        double mean = sum / count
        double squares = 0
        for (int y = 0; y < boxHeight; y++) {
            for (int x = 0; x < boxWidth; x++) {
                if (mask == null || mask[y * boxWidth + x] != 0) {
                    double deviation = plane[(top + y) * width + left + x] - mean
                    squares += deviation * deviation
                }
            }
        }
        return new RoiStatistics(mean, Math.sqrt(squares / (count - 1)), minimum, maximum, count)
    }

    /** The square of `size` pixels with the highest or lowest mean; of equal ones the first, row by row. */
    static Roi extremeBlock(float[] plane, int width, int size, boolean brightest) {
        int height = plane.length.intdiv(width) as int
        if (Math.min(height, width) < size) {
            throw new Problem("a block of ${size} x ${size} pixels does not fit into an image of ${width} x ${height} " +
                'pixels; give the regions yourself')
        }
        of(plane, width, null, 'image') // refuses what is not finite
        double[][] table = new double[height + 1][width + 1]
        for (int y = 0; y < height; y++) {
            double row = 0
            for (int x = 0; x < width; x++) {
                row += plane[y * width + x]
                table[y + 1][x + 1] = table[y][x + 1] + row
            }
        }
        int bestX = 0, bestY = 0
        double best = Double.NaN
        for (int y = 0; y + size <= height; y++) {
            for (int x = 0; x + size <= width; x++) {
                double sum = table[y + size][x + size] - table[y][x + size] - table[y + size][x] + table[y][x]
                if (Double.isNaN(best) || (brightest ? sum > best : sum < best)) {
                    best = sum
                    bestX = x
                    bestY = y
                }
            }
        }
        return new Roi(bestX, bestY, size, size)
    }

    /**
     * The region that a text names: "selection", "x,y,width,height", a .roi file, or a name in the image's overlay or
     * the ROI Manager. It must lie inside the image.
     */
    static Roi find(ImagePlus image, String text, String name) {
        String asked = text.trim()
        Roi roi
        if (asked == 'selection') {
            roi = image.roi
            if (roi == null) {
                throw new Problem("${name}=selection, but the image has no selection: draw one, or give x,y,width,height")
            }
        } else if (asked ==~ /-?\d{1,7}\s*,\s*-?\d{1,7}\s*,\s*\d{1,7}\s*,\s*\d{1,7}/) {
            int[] box = asked.split(',').collect { String part -> part.trim().toInteger() } as int[]
            if (box[2] < 1 || box[3] < 1) {
                throw new Problem("the ${name} region ${asked} (x,y,width,height) is empty")
            }
            roi = new Roi(box[0], box[1], box[2], box[3])
        } else if (asked.toLowerCase().endsWith('.roi')) {
            roi = RoiDecoder.open(asked)
        } else {
            roi = named(image, asked)
        }
        if (roi == null) {
            throw new Problem("${name}: no region '${text}': give auto, selection, x,y,width,height, a .roi file, or a " +
                'name in the overlay or the ROI Manager')
        }
        Rectangle box = roi.bounds
        if (!roi.isArea() || box.isEmpty() || !new Rectangle(0, 0, image.width, image.height).contains(box)) {
            throw new Problem("the ${name} region ${box.@x},${box.@y},${box.@width},${box.@height} (x,y,width,height) does not " +
                "lie inside an image of ${image.width} x ${image.height} pixels")
        }
        return roi
    }

    private static Roi named(ImagePlus image, String name) {
        Roi found = image.overlay?.toArray()?.find { Roi roi -> roi.name == name }
        return found ?: RoiManager.rawInstance?.roisAsArray?.find { Roi roi -> roi.name == name }
    }
}
