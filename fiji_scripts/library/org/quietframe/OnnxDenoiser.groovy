package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.ImageStack

import java.nio.FloatBuffer

/** Denoises every plane of a stack or hyperstack, tile by tile: quietframe/inference/large.py for ImageJ. */
@CompileStatic
class OnnxDenoiser {

    /**
     * A float32 image of the same dimensions.
     *
     * @param model    a package (.zip) or a bare .onnx
     * @param provider auto, cpu or cuda
     * @param tile     auto, 0 (one shot) or the largest side of a tile in pixels
     */
    static synchronized ImagePlus denoise(ImagePlus image, String model, String provider, String tile) {
        Hyperstacks.requireGray(image)
        OnnxModel network = OnnxModel.of(model, provider)
        int height = image.height, width = image.width
        network.checkSize(height, width)
        List<int[]> tiles = Tiles.plan(height, width, tile, network.halo, network.step, network.minimum)
        IJ.log("Quietframe Denoise: ${network.file.name} on ${network.providerNote}; " +
            "${tiles.size() == 1 ? 'one shot' : "${tiles.size()} tiles"} per plane")
        int planes = image.getStackSize()
        ImageStack stack = new ImageStack(width, height)
        FloatBuffer input = OnnxModel.buffer((int) tiles.collect { int[] t -> (t[1] - t[0]) * (t[3] - t[2]) }.max())
        for (int plane = 1; plane <= planes; plane++) {
            float[] counts = Hyperstacks.plane(image, plane)
            requireFinite(counts, planes == 1 ? 'the picture' : "plane ${plane} of ${planes}".toString())
            float[] denoised = new float[counts.length]
            for (int i = 0; i < tiles.size(); i++) {
                Command.progress((plane - 1) * tiles.size() + i, planes * tiles.size())
                runTile(network, tiles.get(i), width, counts, denoised, input)
            }
            stack.addSlice(image.getStack().getSliceLabel(plane), denoised)
        }
        int[] czt = [image.getNChannels(), image.getNSlices(), image.getNFrames()] as int[]
        return Hyperstacks.like(image, Hyperstacks.titled(image, '_DENOISED'), stack, czt, settings(network, tile, height, width))
    }

    private static void runTile(OnnxModel network, int[] t, int width, float[] counts, float[] denoised, FloatBuffer input) {
        int tileHeight = t[1] - t[0], tileWidth = t[3] - t[2]
        input.clear()
        for (int y = t[0]; y < t[1]; y++) {
            input.put(counts, y * width + t[2], tileWidth)
        }
        input.flip()
        float[] result = network.run(input, tileHeight, tileWidth)
        for (int y = t[4]; y < t[5]; y++) {
            System.arraycopy(result, (y - t[0]) * tileWidth + t[6] - t[2], denoised, y * width + t[6], t[7] - t[6])
        }
    }

    private static void requireFinite(float[] values, String name) {
        int wrong = 0
        for (int i = 0; i < values.length; i++) {
            if (Float.isNaN(values[i]) || Float.isInfinite(values[i])) {
                wrong++
            }
        }
        if (wrong > 0) {
            throw new Problem("${name}: ${wrong} of ${values.length} pixels are NaN or infinite; a network would spread " +
                'them; replace them first (Process > Noise > Remove NaNs...)')
        }
    }

    private static Map<String, String> settings(OnnxModel network, String tile, int height, int width) {
        int side = Tiles.sideOf(height, width, tile)
        Map<String, String> info = [
            'quietframe.version': Command.version(),
            'quietframe.command': 'denoise',
            'quietframe.model': network.file.name,
            'quietframe.model_sha256': network.sha256,
            'quietframe.provider': network.provider,
            'quietframe.provider_note': network.providerNote,
            'quietframe.tile': side == 0 ? 'one shot' : "${side}".toString(),
            'quietframe.halo': "${network.halo}".toString(),
        ]
        ['method', 'unit'].each { String key ->
            if (network.property(key)) {
                info.put("quietframe.${key}".toString(), network.property(key))
            }
        }
        return info
    }
}
