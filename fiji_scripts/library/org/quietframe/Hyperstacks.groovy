package org.quietframe

import groovy.transform.CompileStatic
import ij.CompositeImage
import ij.ImagePlus
import ij.ImageStack
import ij.measure.Calibration
import ij.process.FloatProcessor
import ij.process.ImageProcessor

/** Planes in and out of ImageJ's images, and what a result keeps of its source: calibration, LUT, labels, Info. */
@CompileStatic
class Hyperstacks {

    /** The image if it is gray; a Problem when there is none or it has colours. */
    static ImagePlus requireGray(ImagePlus image) {
        if (image == null || image.getProcessor() == null) {
            throw new Problem('no image is open: open one first (File > Open), or drag a file on the window')
        }
        if (image.type == ImagePlus.COLOR_RGB || image.type == ImagePlus.COLOR_256) {
            throw new Problem("'${image.title}' is a colour image (RGB); gray values are needed: " +
                'split it (Image > Color > Split Channels) or convert it (Image > Type > 32-bit)')
        }
        return image
    }

    /** Plane `index`, counted from 1 in stored order, as calibrated float32 values; a copy. */
    static float[] plane(ImagePlus image, int index) {
        // A virtual stack reads the plane from its file here, so only one is in memory.
        ImageProcessor stored = image.getStack().getProcessor(index)
        Calibration calibration = image.calibration
        stored.setCalibrationTable(calibration.calibrated() ? calibration.getCTable() : null)
        float[] values = (float[]) stored.convertToFloatProcessor().pixels
        return stored instanceof FloatProcessor ? (float[]) values.clone() : values
    }

    /** A float32 image like `source`, with the planes given; the settings are added to its Info. */
    static ImagePlus like(ImagePlus source, String title, ImageStack stack, int[] czt, Map<String, String> settings) {
        ImagePlus result = new ImagePlus(title, stack)
        result.setDimensions(czt[0], czt[1], czt[2])
        if (czt[0] > 1) {
            result = new CompositeImage(result, CompositeImage.GRAYSCALE)
        }
        result.openAsHyperStack = true
        Calibration calibration = source.calibration.copy()
        calibration.disableDensityCalibration() // the values are calibrated ones already
        result.calibration = calibration
        if (source.type != ImagePlus.COLOR_RGB) {
            result.getProcessor().setLut(source.getProcessor().getLut())
        }
        result.setProperty('Info', infoWith(source.infoProperty, settings))
        result.resetDisplayRange()
        return result
    }

    /** The Info text with "key = value" lines added; a key that is there already gets the new value. */
    static String infoWith(String info, Map<String, String> settings) {
        List<String> lines = []
        for (String line : (info ?: '').readLines()) {
            int equals = line.indexOf(' = ')
            if (equals < 0 || !settings.containsKey(line.substring(0, equals).trim())) {
                lines.add(line)
            }
        }
        settings.each { String key, String value -> lines.add("${key} = ${value}".toString()) }
        return lines.join('\n') + '\n'
    }

    /** A number out of the Info text ("key = 0.46"), NaN when the key is not there. */
    static double infoNumber(ImagePlus image, String key) {
        for (String line : (image.infoProperty ?: '').readLines()) {
            int equals = line.indexOf('=')
            if (equals > 0 && line.substring(0, equals).trim() == key) {
                String text = line.substring(equals + 1).trim()
                if (!text.isDouble()) {
                    throw new Problem("'${image.title}': ${key} in its Info is not a number: '${text}'")
                }
                return text.toDouble()
            }
        }
        return Double.NaN
    }

    /** Title with a suffix before the file extension: "cells.tif" -> "cells_D020.tif". */
    static String titled(ImagePlus source, String suffix) {
        String title = source.title
        int dot = title.lastIndexOf('.')
        return dot > 0 ? title.substring(0, dot) + suffix + title.substring(dot) : title + suffix
    }
}
