package org.quietframe

import groovy.transform.CompileStatic

/**
 * Cuts a plane or a volume into balanced tiles with a halo: quietframe/inference/tiles.py once more, line by line.
 * Both are tested on tests/vectors/tiles.json.
 */
@CompileStatic
class Tiles {

    /** Up to this many pixels "auto" runs the whole plane at once. */
    static final long ONE_SHOT_PIXELS = 2_097_152L
    /** Side of a tile that "auto" takes for larger planes, pixels, halo included. */
    static final int AUTO_TILE = 768
    /** Largest block of a volume that "auto" takes, voxels, halo included. */
    static final long BLOCK_VOXELS = 2_097_152L

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

    /**
     * A plane {height, width} or a volume {depth, height, width}, the last axis fastest: for each tile, and in it for
     * each axis, {in start, in stop, out start, out stop}. halo, step and minimum hold one number per axis.
     */
    static List<int[][]> plan(int[] shape, String tile, int[] halo, int[] step, int[] minimum) {
        return planSides(shape, sidesOf(shape, tile, halo, step, minimum), halo, step, minimum)
    }

    /** The same for tiles of these sides, as `sidesOf` gives them. */
    static List<int[][]> planSides(int[] shape, int[] sides, int[] halo, int[] step, int[] minimum) {
        List<int[][]> tiles = [new int[0][]]
        for (int axis = 0; axis < shape.length; axis++) {
            List<int[]> spans = planAxis(shape[axis], sides[axis], halo[axis], step[axis], minimum[axis])
            List<int[][]> longer = new ArrayList<int[][]>(tiles.size() * spans.size())
            for (int[][] begun : tiles) {
                for (int[] span : spans) {
                    int[][] next = Arrays.copyOf(begun, axis + 1)
                    next[axis] = span
                    longer.add(next)
                }
            }
            tiles = longer
        }
        return tiles
    }

    /** The sides of a tile in pixels, one per axis, 0 for the whole axis at once, out of "auto" or a number. */
    static int[] sidesOf(int[] shape, String tile, int[] halo, int[] step, int[] minimum) {
        String asked = tile == null ? '' : tile.trim()
        int[] sides = new int[shape.length]
        if (asked == 'auto') {
            if (shape.length == 3) {
                return blockSides(shape, halo, step, minimum)
            }
            Arrays.fill(sides, product(shape) <= ONE_SHOT_PIXELS ? 0 : AUTO_TILE)
            return sides
        }
        if (!(asked ==~ /\d{1,9}/)) {
            throw new Problem("tile must be auto, 0 (one shot) or a number of pixels; got '${tile}'")
        }
        Arrays.fill(sides, asked.toInteger())
        return sides
    }

    /** The blocks of at most BLOCK_VOXELS that compute the fewest voxels twice; all of z is tried first. */
    private static int[] blockSides(int[] shape, int[] halo, int[] step, int[] minimum) {
        if (product(shape) <= BLOCK_VOXELS) {
            return new int[3]
        }
        int[] smallest = new int[3]
        for (int axis = 0; axis < 3; axis++) {
            smallest[axis] = 2 * halo[axis] + step[axis]
        }
        int[] best = smallest
        long least = -1
        int depth = shape[0]
        for (int next = smallest[0]; depth > 0; next += step[0]) {
            int side = ((root(BLOCK_VOXELS.intdiv(depth) as long)).intdiv(step[1]) as int) * step[1]
            int[] sides = [depth, side, side] as int[]
            boolean possible = true
            for (int axis = 0; axis < 3; axis++) {
                possible &= shape[axis] <= sides[axis] || sides[axis] >= smallest[axis]
            }
            if (possible) {
                long voxels = 1
                for (int axis = 0; axis < 3; axis++) {
                    long along = 0
                    for (int[] span : planAxis(shape[axis], sides[axis], halo[axis], step[axis], minimum[axis])) {
                        along += span[1] - span[0]
                    }
                    voxels *= along
                }
                if (least < 0 || voxels < least) {
                    best = sides
                    least = voxels
                }
            }
            depth = next < shape[0] ? next : 0
        }
        return best
    }

    private static long product(int[] shape) {
        long product = 1
        for (int length : shape) {
            product *= length
        }
        return product
    }

    /** The whole part of a square root. */
    private static int root(long value) {
        long root = (long) Math.sqrt((double) value)
        while (root * root > value) {
            root--
        }
        while ((root + 1) * (root + 1) <= value) {
            root++
        }
        return (int) root
    }

    private static int ceilDiv(int a, int b) {
        return (a + b - 1).intdiv(b) as int
    }
}
