package org.quietframe

import groovy.transform.CompileStatic
import ij.IJ
import ij.ImagePlus
import ij.ImageStack

import java.nio.FloatBuffer

/**
 * Denoises a stack or hyperstack, tile by tile: quietframe/inference/large.py for ImageJ.
 * A network of planes takes every plane by itself, one of volumes every z-stack, one of several channels all of them.
 */
@CompileStatic
class OnnxDenoiser {

    private final ImagePlus image
    private final OnnxModel network
    private final List<int[][]> tiles
    private final FloatBuffer input

    /** The first output of `outputs`. */
    static ImagePlus denoise(ImagePlus image, String model, String provider, String tile, int threads) {
        return outputs(image, model, provider, tile, threads).first()
    }

    /**
     * For each output of the model a float32 image of the same dimensions: denoised first, then e.g. its uncertainty.
     *
     * @param model    a package (.zip or its folder) or a bare .onnx: its path, or its name in Fiji's models folder
     * @param provider auto, cpu or cuda
     * @param tile     auto, 0 (one shot) or the largest side of a tile in pixels
     * @param threads  CPU threads, 0 = all that this process may use
     */
    static synchronized List<ImagePlus> outputs(ImagePlus image, String model, String provider, String tile, int threads) {
        Hyperstacks.requireGray(image)
        OnnxModel network = OnnxModel.of(model, provider, threads)
        checkAxes(image, network)
        int[] size = network.volumes ? [image.getNSlices(), image.height, image.width] as int[] :
            [image.height, image.width] as int[]
        network.checkSize(size)
        int[] sides = Tiles.sidesOf(size, network.fixed && tile == 'auto' ? '0' : tile, network.halo, network.step, network.minimum)
        List<int[][]> tiles = Tiles.planSides(size, sides, network.halo, network.step, network.minimum)
        IJ.log("Quietframe Denoise: ${network.name()} on ${network.providerNote}; " +
            "${tiles.size() == 1 ? 'one shot' : "${tiles.size()} tiles"} per ${network.volumes ? 'volume' : 'plane'}")
        List<String> warnings = Mismatch.warnings(image, network.source, network.channels)
        warnings.each { String warning -> IJ.log("Quietframe Denoise: warning: ${warning}") }
        List<ImageStack> stacks = new OnnxDenoiser(image, network, tiles).run()
        int channels = network.channels > 1 ? network.outputChannels : image.getNChannels()
        int[] czt = [channels, image.getNSlices(), image.getNFrames()] as int[]
        Map<String, String> info = settings(network, sides)
        if (!warnings.isEmpty()) {
            info.put('quietframe.mismatch', warnings.join('; '))
        }
        List<ImagePlus> results = []
        for (int i = 0; i < stacks.size(); i++) {
            String name = network.outputs.get(i)
            Map<String, String> own = stacks.size() > 1 ? info + ['quietframe.output': name] : info
            String title = Hyperstacks.titled(image, '_' + name.toUpperCase())
            results.add(Hyperstacks.like(image, title, stacks.get(i), czt, own))
        }
        return results
    }

    private OnnxDenoiser(ImagePlus image, OnnxModel network, List<int[][]> tiles) {
        this.image = image
        this.network = network
        this.tiles = tiles
        long most = 0
        for (int[][] t : tiles) {
            long pixels = network.channels
            for (int[] span : t) {
                pixels *= span[1] - span[0]
            }
            most = Math.max(most, pixels)
        }
        input = network.buffer(most)
    }

    /** Denoise everything; the planes of each output in ImageJ's order. */
    private List<ImageStack> run() {
        boolean joint = network.channels > 1
        int channels = joint ? network.outputChannels : image.getNChannels()
        int slices = image.getNSlices(), frames = image.getNFrames()
        float[][][] planes = new float[network.outputs.size()][channels * slices * frames][]
        int perFrame = (joint ? 1 : channels) * (network.volumes ? 1 : slices), done = 0
        for (int t = 1; t <= frames; t++) {
            for (int c = 1; c <= (joint ? 1 : channels); c++) {
                for (int z = 1; z <= (network.volumes ? 1 : slices); z++) {
                    float[][][] results = denoiseGroup(c, z, t, done++ * tiles.size(), perFrame * frames * tiles.size())
                    int depth = network.volumes ? slices : 1
                    for (int output = 0; output < results.length; output++) {
                        for (int i = 0; i < results[output].length; i++) {
                            int channel = joint ? i.intdiv(depth) as int : c - 1
                            int slice = z - 1 + i % depth
                            planes[output][((t - 1) * slices + slice) * channels + channel] = results[output][i]
                        }
                    }
                }
            }
        }
        boolean labelled = channels == image.getNChannels()
        return planes.collect { float[][] each -> stackOf(each, labelled) }
    }

    private ImageStack stackOf(float[][] planes, boolean labelled) {
        ImageStack stack = new ImageStack(image.width, image.height)
        for (int i = 0; i < planes.length; i++) {
            stack.addSlice(labelled ? image.getStack().getSliceLabel(i + 1) : null, planes[i])
        }
        return stack
    }

    /** Denoise planes that belong together, from channel c, slice z and frame t on; per output its planes, z fastest. */
    private float[][][] denoiseGroup(int c, int z, int t, int doneBefore, int total) {
        int depth = network.volumes ? image.getNSlices() : 1
        float[][] counts = new float[network.channels * depth][]
        for (int i = 0; i < counts.length; i++) {
            int index = image.getStackIndex(c + (i.intdiv(depth) as int), z + i % depth, t)
            counts[i] = Hyperstacks.plane(image, index)
            int all = image.getStackSize()
            requireFinite(counts[i], all == 1 ? 'the picture' : "plane ${index} of ${all}".toString())
        }
        float[][][] results = new float[network.outputs.size()][network.outputChannels * depth][image.width * image.height]
        for (int i = 0; i < tiles.size(); i++) {
            Command.progress(doneBefore + i, total)
            runTile(tiles.get(i), depth, counts, results)
        }
        return results
    }

    private void runTile(int[][] tile, int depth, float[][] counts, float[][][] results) {
        int[] z = network.volumes ? tile[0] : [0, 1, 0, 1] as int[]
        int[] y = tile[tile.length - 2], x = tile[tile.length - 1]
        int width = image.width, tileDepth = z[1] - z[0], tileHeight = y[1] - y[0], tileWidth = x[1] - x[0]
        input.clear()
        for (int c = 0; c < network.channels; c++) {
            for (int slice = z[0]; slice < z[1]; slice++) {
                float[] plane = counts[c * depth + slice]
                for (int row = y[0]; row < y[1]; row++) {
                    input.put(plane, row * width + x[0], tileWidth)
                }
            }
        }
        input.flip()
        int[] size = network.volumes ? [tileDepth, tileHeight, tileWidth] as int[] : [tileHeight, tileWidth] as int[]
        float[][] values = network.run(input, size)
        for (int output = 0; output < values.length; output++) {
            for (int c = 0; c < network.outputChannels; c++) {
                for (int slice = z[2]; slice < z[3]; slice++) {
                    float[] plane = results[output][c * depth + slice]
                    int from = ((c * tileDepth + slice - z[0]) * tileHeight - y[0]) * tileWidth + x[2] - x[0]
                    for (int row = y[2]; row < y[3]; row++) {
                        System.arraycopy(values[output], from + row * tileWidth, plane, row * width + x[2], x[3] - x[2])
                        requireSound(plane, row * width + x[2], row * width + x[3])
                    }
                }
            }
        }
    }

    private static void checkAxes(ImagePlus image, OnnxModel network) {
        String name = network.name()
        if (network.volumes && image.getNSlices() == 1) {
            throw new Problem("${name} takes volumes (z, y, x); '${image.title}' has 1 slice and ${image.getNFrames()} " +
                'frames: if its frames are slices in z, say so (Image > Properties...); else take a model that was ' +
                'trained on planes')
        }
        if (network.channels > 1 && image.getNChannels() != network.channels) {
            throw new Problem("${name} takes ${network.channels} channels at once; '${image.title}' has " +
                "${image.getNChannels()}: give one with ${network.channels} channels, or a model that takes one channel")
        }
        if (network.channels == 1 && network.outputChannels > 1) {
            throw new Problem("${name} returns ${network.outputChannels} channels; models that return one run here")
        }
    }

    private void requireSound(float[] plane, int start, int stop) {
        float sum = 0f
        for (int i = start; i < stop; i++) {
            sum += plane[i] * 0f // 0, but NaN for a pixel that is NaN or infinite
        }
        if (Float.isNaN(sum)) {
            throw new Problem("${network.name()} returns NaN or infinite values; its weights are damaged: export it again")
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

    /** Sizes as the Python side writes them: one number where planes are cut alike along y and x. */
    private static String brief(int[] sizes) {
        return sizes.length == 2 && sizes[0] == sizes[1] ? "${sizes[0]}" : sizes.join(',')
    }

    private static Map<String, String> settings(OnnxModel network, int[] sides) {
        Map<String, String> info = [
            'quietframe.version': Command.version(),
            'quietframe.command': 'denoise',
            'quietframe.model': network.name(),
            'quietframe.model_sha256': network.source.sha256,
            'quietframe.provider': network.provider,
            'quietframe.provider_note': network.providerNote,
            'quietframe.tile': sides.every { int side -> side == 0 } ? 'one shot' : brief(sides),
            'quietframe.halo': brief(network.halo),
        ]
        ['method', 'unit'].each { String key ->
            if (network.source.property(key)) {
                info.put("quietframe.${key}".toString(), network.source.property(key))
            }
        }
        return info
    }
}
