package org.quietframe

import groovy.transform.CompileStatic

/**
 * Cuts an image into balanced tiles with a halo: quietframe/inference/tiles.py once more, line by line.
 * Both are tested on tests/vectors/tiles.json.
 */
@CompileStatic
class Tiles {

    /** Up to this many pixels "auto" runs the whole image at once. */
    static final long ONE_SHOT_PIXELS = 2_097_152L
    /** Side of a tile that "auto" takes for larger images, pixels, halo included. */
    static final int AUTO_TILE = 768

    /** One axis: {in start, in stop, out start, out stop} for each tile; tile 0 = one shot. */
    static List<int[]> planAxis(int length, int tile, int halo, int step, int minimum) {
        if (tile == 0 || length <= tile) {
            return [[0, length, 0, length] as int[]]
        }
        int coreMax = tile > 2 * halo ? ((tile - 2 * halo).intdiv(step) as int) * step : 0
        if (coreMax < step) {
            throw new Problem("tile ${tile} is too small for this model: with ${halo} pixels of context on each side " +
                "and a step of ${step} the smallest tile is ${2 * halo + step}; give at least that, or auto")
        }
        int core = ceilDiv(ceilDiv(length, ceilDiv(length, coreMax)), step) * step
        List<int[]> spans = []
        for (int start = 0; start < length; start += core) {
            int stop = Math.min(start + core, length)
            int inStart = Math.max(0, start - halo)
            int inStop = Math.min(length, stop + halo)
            if (inStop - inStart < minimum) {
                inStart = Math.max(0, Math.floorDiv(inStop - minimum, step) * step)
            }
            spans.add([inStart, inStop, start, stop] as int[])
        }
        return spans
    }

    /** The image, rows first: {in y0, in y1, in x0, in x1, out y0, out y1, out x0, out x1} for each tile. */
    static List<int[]> plan(int height, int width, String tile, int halo, int step, int minimum) {
        int side = sideOf(height, width, tile)
        List<int[]> columns = planAxis(width, side, halo, step, minimum)
        List<int[]> tiles = []
        for (int[] y : planAxis(height, side, halo, step, minimum)) {
            for (int[] x : columns) {
                tiles.add([y[0], y[1], x[0], x[1], y[2], y[3], x[2], x[3]] as int[])
            }
        }
        return tiles
    }

    /** The side of a tile in pixels, 0 for one shot, out of "auto" or a number. */
    static int sideOf(int height, int width, String tile) {
        String asked = tile == null ? '' : tile.trim()
        if (asked == 'auto') {
            return (long) height * width <= ONE_SHOT_PIXELS ? 0 : AUTO_TILE
        }
        if (!(asked ==~ /\d{1,9}/)) {
            throw new Problem("tile must be auto, 0 (one shot) or a number of pixels; got '${tile}'")
        }
        return asked.toInteger()
    }

    private static int ceilDiv(int a, int b) {
        return (a + b - 1).intdiv(b) as int
    }
}
