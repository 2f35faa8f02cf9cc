package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.VirtualStack
import ij.process.ImageProcessor

/** The filtered planes of a stack that is larger than memory, each made when it is looked at. */
@CompileStatic
class FilterStack extends VirtualStack {

    private final ImagePlus image
    private final FilterMethod method
    private final Map<String, Object> settings
    private final boolean convert

    FilterStack(ImagePlus image, FilterMethod method, Map<String, Object> settings, boolean convert) {
        super(image.width, image.height, null, null)
        this.image = image
        this.method = method
        this.settings = settings
        this.convert = convert
        bitDepth = convert ? 32 : image.bitDepth
    }

    @Override
    int getSize() {
        return image == null ? 0 : image.stackSize // ImageJ asks while it makes the stack
    }

    @Override
    ImageProcessor getProcessor(int n) {
        ImageProcessor pixels = Filters.copy(image, n, convert)
        method.plane(pixels, settings)
        return pixels
    }

    @Override
    Object getPixels(int n) {
        return getProcessor(n).pixels
    }

    @Override
    String getSliceLabel(int n) {
        return image.getStack().getSliceLabel(n)
    }
}
