package org.quietframe

import groovy.transform.CompileStatic
import ij.CompositeImage
import ij.ImagePlus
import ij.ImageStack
import ij.process.FloatProcessor
import ij.process.ImageProcessor

/** Filters stacks and hyperstacks into a new image: every plane, or every volume; never across time or channels. */
@CompileStatic
class Filters {

    /** Results that have another range than the image. */
    private static final List<String> OTHER_RANGE = ['variance', 'top-hat', 'subtract-background']

    /**
     * The filtered image; its type is that of the image, or float32 when dtype says so.
     *
     * @param given the options of all methods; those of this one are taken
     */
    static ImagePlus apply(ImagePlus image, String name, String dtype, Map<String, Object> given) {
        Hyperstacks.requireGray(image)
        FilterMethod method = FilterMethod.named(name)
        if (!(dtype in ['same', 'float32'])) {
            throw Problem.unknown('dtype', dtype, ['same', 'float32'])
        }
        Map<String, Object> settings = method.settings(given)
        requireVolumes(image, method)
        boolean convert = dtype == 'float32'
        boolean lazy = !method.volumes && image.getStack().isVirtual() && NdrDifferences.tooLarge(image, image.stackSize)
        ImageStack stack = lazy ? new FilterStack(image, method, settings, convert) :
            method.volumes ? volumes(image, method, settings, convert) : planes(image, method, settings, convert)
        Map<String, String> info = ['quietframe.version': Command.version(), 'quietframe.command': "filter ${method.name}".toString()]
        settings.each { String key, Object value ->
            info.put("quietframe.${key}".toString(), value instanceof Double ? FilterMethod.brief((Double) value) : String.valueOf(value))
        }
        return dressed(image, method, stack, convert, info)
    }

    /** Refuse to take time for z. */
    static void requireVolumes(ImagePlus image, FilterMethod method) {
        if (method.volumes && image.getNSlices() == 1) {
            throw new Problem("${method.name} filters volumes (z, y, x); '${image.title}' has 1 slice and " +
                "${image.getNFrames()} frame${image.getNFrames() == 1 ? '' : 's'}: if its frames are slices in z, say so " +
                '(Image > Properties...); else take a method for planes')
        }
    }

    /** Plane `index` of the image, a copy: raw values of the image's type, or calibrated float32 values. */
    static ImageProcessor copy(ImagePlus image, int index, boolean convert) {
        ImageProcessor pixels = convert || image.bitDepth == 32 ?
            new FloatProcessor(image.width, image.height, Hyperstacks.plane(image, index)) :
            FilterMethod.plain(image.getStack().getProcessor(index)).duplicate()
        if (pixels instanceof FloatProcessor) {
            requireFinite((float[]) pixels.pixels, image.stackSize == 1 ? 'the picture' :
                "plane ${index} of ${image.stackSize}".toString())
        }
        return pixels
    }

    private static ImageStack planes(ImagePlus image, FilterMethod method, Map<String, Object> settings, boolean convert) {
        ImageStack stack = new ImageStack(image.width, image.height)
        int count = image.stackSize
        for (int i = 1; i <= count; i++) {
            Command.progress(i - 1, count)
            ImageProcessor pixels = copy(image, i, convert)
            method.plane(pixels, settings)
            stack.addSlice(image.getStack().getSliceLabel(i), pixels)
        }
        return stack
    }

    private static ImageStack volumes(ImagePlus image, FilterMethod method, Map<String, Object> settings, boolean convert) {
        int channels = image.getNChannels(), slices = image.getNSlices(), frames = image.getNFrames()
        Object[] results = new Object[image.stackSize]
        for (int t = 1; t <= frames; t++) {
            for (int c = 1; c <= channels; c++) {
                Command.progress((t - 1) * channels + c - 1, frames * channels)
                ImageStack volume = new ImageStack(image.width, image.height)
                for (int z = 1; z <= slices; z++) {
                    volume.addSlice(copy(image, image.getStackIndex(c, z, t), convert))
                }
                volume = method.volume(volume, settings)
                for (int z = 1; z <= slices; z++) {
                    results[image.getStackIndex(c, z, t) - 1] = volume.getPixels(z)
                }
            }
        }
        ImageStack stack = new ImageStack(image.width, image.height)
        for (int i = 0; i < results.length; i++) {
            stack.addSlice(image.getStack().getSliceLabel(i + 1), results[i])
        }
        return stack
    }

    private static ImagePlus dressed(ImagePlus image, FilterMethod method, ImageStack stack, boolean convert, Map<String, String> info) {
        int[] czt = [image.getNChannels(), image.getNSlices(), image.getNFrames()] as int[]
        String title = Hyperstacks.titled(image, '_' + method.name.toUpperCase().replace('-', '_'))
        ImagePlus result = Hyperstacks.like(image, title, stack, czt, info)
        if (!convert) {
            result.calibration = image.calibration.copy() // raw values were filtered, they mean what they did
        }
        if (image instanceof CompositeImage && result instanceof CompositeImage) {
            ((CompositeImage) result).copyLuts(image)
        } else if (!(method.name in OTHER_RANGE)) {
            result.setDisplayRange(image.displayRangeMin, image.displayRangeMax)
        }
        result.setOverlay(image.getOverlay()?.duplicate())
        return result
    }

    private static void requireFinite(float[] values, String name) {
        int wrong = 0
        for (int i = 0; i < values.length; i++) {
            if (Float.isNaN(values[i]) || Float.isInfinite(values[i])) {
                wrong++
            }
        }
        if (wrong > 0) {
            throw new Problem("${name}: ${wrong} of ${values.length} pixels are NaN or infinite; a filter would spread " +
                'them; replace them first (Process > Noise > Remove NaNs...), or use quietframe filter, which leaves them out')
        }
    }
}
