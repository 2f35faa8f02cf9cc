package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack
import ij.gui.Roi
import ij.process.FloatProcessor
import ij.process.ImageProcessor

import java.awt.Rectangle

/** The part of an image that is explored: the current plane or the box of its selection, and the slices around it. */
@CompileStatic
class ExplorerRegion {

    final ImagePlus image
    final Rectangle box
    final int channel, slice, frame
    final int width, height
    /** The plane as float32. */
    final float[] plane

    ExplorerRegion(ImagePlus image) {
        this.image = Hyperstacks.requireGray(image)
        Roi roi = image.roi
        Rectangle whole = new Rectangle(0, 0, image.width, image.height)
        box = roi != null && roi.isArea() ? roi.bounds.intersection(whole) : whole
        if (box.isEmpty()) {
            throw new Problem("the selection lies outside of '${image.title}'; draw one inside, or none (Edit > Selection > Select None)")
        }
        channel = image.channel
        slice = image.slice
        frame = image.frame
        width = box.@width
        height = box.@height
        plane = floats(cut(image, slice))
    }

    /** The same part of another image, as float32. */
    float[] ofOther(ImagePlus other) {
        if (other.width != image.width || other.height != image.height || other.getNSlices() != image.getNSlices() ||
            other.getNFrames() != image.getNFrames() || other.getNChannels() != image.getNChannels()) {
            throw new Problem("'${other.title}' has other dimensions than '${image.title}'; a repeat shows the same scene in the same pixels")
        }
        return floats(cut(other, slice))
    }

    /** A processor with these float32 values, in the pixel type of the image. */
    private ImageProcessor typed(float[] values) {
        FloatProcessor pixels = new FloatProcessor(width, height, (float[]) values.clone())
        int bits = image.calibration.calibrated() ? 32 : image.bitDepth
        return bits == 8 ? pixels.convertToByte(false) : bits == 16 ? pixels.convertToShort(false) : pixels
    }

    /** Filter the region, with `centre` in place of its plane. */
    float[] filtered(float[] centre, FilterMethod method, Map<String, Object> settings) {
        ImageProcessor pixels = typed(centre)
        if (!method.volumes) {
            method.plane(pixels, settings)
            return floats(pixels)
        }
        int reach = reach(method, settings)
        ImageStack planes = new ImageStack(width, height)
        int first = Math.max(1, slice - reach), last = Math.min(image.getNSlices(), slice + reach)
        for (int z = first; z <= last; z++) {
            planes.addSlice(z == slice ? pixels : typed(floats(cut(image, z))))
        }
        return floats(method.volume(planes, settings).getProcessor(slice - first + 1))
    }

    private static int reach(FilterMethod method, Map<String, Object> settings) {
        double z = ((Number) settings.get('z')).doubleValue()
        return (int) Math.ceil(method.name == 'gaussian-blur-3d' ? 5 * z + 1 : z)
    }

    private ImageProcessor cut(ImagePlus from, int z) {
        int index = from.getStackIndex(channel, z, frame)
        ImageProcessor pixels = from.calibration.calibrated() ?
            new FloatProcessor(from.width, from.height, Hyperstacks.plane(from, index)) :
            FilterMethod.plain(from.getStack().getProcessor(index))
        pixels.setRoi(box)
        ImageProcessor part = pixels.crop()
        pixels.resetRoi()
        return part
    }

    private static float[] floats(ImageProcessor pixels) {
        return (float[]) (pixels instanceof FloatProcessor ? pixels : pixels.convertToFloatProcessor()).pixels
    }
}
