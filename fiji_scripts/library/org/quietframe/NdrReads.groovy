package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.ImageStack

/**
 * The reads of one exposure, counted from 0 here, in memory or out of a virtual stack: then rows of all reads are held,
 * as many as a third of the free memory takes. quietframe/ndr/reads.py for ImageJ.
 */
@CompileStatic
class NdrReads {

    /** Memory that one block of rows of a fit takes in the stored type. */
    private static final long BLOCK_BYTES = 48L << 20

    final ImagePlus image
    final int count, width, height
    /** Highest number that is not the end of the stored range. */
    final double end
    /** Whether the numbers are whole. */
    final boolean whole
    private final ImageStack stack
    private final int bytes
    private final float[] table
    private Object[] planes
    private int heldRead, heldReads, heldStart, heldStop

    NdrReads(ImagePlus exposure) {
        Hyperstacks.requireGray(exposure)
        image = exposure
        count = NdrRamps.readsOf(exposure)
        width = exposure.width
        height = exposure.height
        stack = exposure.getStack()
        bytes = exposure.bitDepth.intdiv(8) as int
        whole = bytes < 4
        table = exposure.calibration.calibrated() && whole ? exposure.calibration.getCTable() : null
        int top = bytes == 1 ? 255 : 65535
        if (!whole) {
            end = Double.POSITIVE_INFINITY
        } else {
            end = table == null ? top - 0.5d : 0.5d * (table[top] + table[top - 1])
        }
        checkInfo()
    }

    /** Refuse what says that it is no plain ramp, or that its reads need what only the command line does. */
    private void checkInfo() {
        Map<String, String> info = NdrCamera.infoOf(image)
        for (String key : ['ndr.difference', 'ndr.fit']) {
            if (info.containsKey(key)) {
                throw new Problem("'${image.title}' is a result already (${key} = ${info.get(key)}), not the reads of an exposure")
            }
        }
        String stated = info.get('ndr.n_subframes')
        if (stated != null && stated.isInteger()) {
            int reads = stated.toInteger()
            if (reads > 1 && reads != count && count % reads == 0) {
                throw new Problem("'${image.title}' holds ${count.intdiv(reads)} exposures of ${reads} reads: duplicate one of " +
                    'them first (Image > Duplicate...)')
            }
        }
        for (String key : ['ndr.t_reads_s', 'ndr.reference_border']) {
            if (info.get(key)?.trim() && info.get(key).trim() != '0') {
                throw new Problem("'${image.title}' has ${key} in its Info, which ImageJ's commands do not use: " +
                    "fit it with 'quietframe ndr fit' in a terminal")
            }
        }
    }

    /** Rows {start, stop} of blocks of at most 48 MiB for this number of reads: the same as Python's. */
    List<int[]> rowBlocks(int reads) {
        long rowBytes = (long) reads * width * bytes
        int rows = (int) Math.max(8L, BLOCK_BYTES.intdiv(Math.max(rowBytes, 1L)) as long)
        int blocks = Math.max(1, (height + rows - 1).intdiv(rows) as int)
        List<int[]> result = []
        for (int i = 0; i < blocks; i++) {
            int start = (int) ((long) height * i).intdiv(blocks), stop = (int) ((long) height * (i + 1)).intdiv(blocks)
            if (stop > start) {
                result.add([start, stop] as int[])
            }
        }
        return result
    }

    /** Make rows start to stop of the reads first to last (not included) ready for `copy`. */
    void hold(int first, int last, int start, int stop) {
        if (planes != null && heldRead == first && heldReads == last - first && start >= heldStart && stop <= heldStop) {
            return
        }
        heldRead = first
        heldReads = last - first
        if (!stack.isVirtual()) {
            planes = Arrays.copyOfRange(stack.imageArray, first, last)
            heldStart = 0
            heldStop = height
            return
        }
        planes = null
        Runtime java = Runtime.runtime
        java.gc() // else what was held before counts as taken
        long free = java.maxMemory() - java.totalMemory() + java.freeMemory()
        long rows = (long) (free.intdiv(3L) as long).intdiv(Math.max(1L, (long) heldReads * width * bytes))
        heldStart = start
        heldStop = (int) Math.min(height, Math.max(stop, start + rows))
        Object[] rowsOfAll = new Object[heldReads]
        int from = heldStart * width, size = (heldStop - heldStart) * width
        for (int i = 0; i < heldReads; i++) {
            Object plane = stack.getPixels(first + i + 1)
            rowsOfAll[i] = part(plane, from, size)
            if (i % 16 == 0) {
                NdrThreads.checkEsc()
            }
        }
        planes = rowsOfAll
    }

    private static Object part(Object plane, int from, int size) {
        if (plane instanceof short[]) {
            return Arrays.copyOfRange((short[]) plane, from, from + size)
        }
        return plane instanceof byte[] ? Arrays.copyOfRange((byte[]) plane, from, from + size) :
            Arrays.copyOfRange((float[]) plane, from, from + size)
    }

    /**
     * Copy the held reads of `pixels` pixels from number `pixel` (row * width + column) on, ramp after ramp, each of the
     * first `reads` reads.
     */
    void copy(int pixel, int pixels, int reads, float[] ramps) {
        int from = pixel - heldStart * width
        for (int i = 0; i < reads; i++) {
            Object plane = planes[i]
            if (plane instanceof short[]) {
                copyShorts((short[]) plane, from, pixels, reads, i, ramps, table)
            } else if (plane instanceof byte[]) {
                copyBytes((byte[]) plane, from, pixels, reads, i, ramps, table)
            } else {
                copyFloats((float[]) plane, from, pixels, reads, i, ramps)
            }
        }
    }

    private static void copyShorts(short[] plane, int from, int pixels, int step, int at, float[] to, float[] table) {
        int place = at
        for (int p = 0; p < pixels; p++) {
            int value = plane[from + p] & 0xffff
            to[place] = table == null ? (float) value : table[value]
            place += step
        }
    }

    private static void copyBytes(byte[] plane, int from, int pixels, int step, int at, float[] to, float[] table) {
        int place = at
        for (int p = 0; p < pixels; p++) {
            int value = plane[from + p] & 0xff
            to[place] = table == null ? (float) value : table[value]
            place += step
        }
    }

    private static void copyFloats(float[] plane, int from, int pixels, int step, int at, float[] to) {
        int place = at
        for (int p = 0; p < pixels; p++) {
            to[place] = plane[from + p]
            place += step
        }
    }

    /** One read, counted from 0, as float32 numbers; not to be changed. */
    float[] plane(int read) {
        Object stored = stack.getPixels(read + 1)
        if (stored instanceof float[]) {
            return (float[]) stored
        }
        float[] result = new float[width * height]
        if (stored instanceof short[]) {
            copyShorts((short[]) stored, 0, result.length, 1, 0, result, table)
        } else {
            copyBytes((byte[]) stored, 0, result.length, 1, 0, result, table)
        }
        return result
    }

    /** Check a range of reads, {first, last} from 0, last not included; the message counts from 1. */
    int[] range(int first, int last) {
        int stop = last <= 0 ? count : last
        if (first < 0 || first >= count) {
            throw new Problem("first read ${first + 1} is not one of the reads 1 to ${count}")
        }
        if (stop <= first || stop > count) {
            throw new Problem("last read ${stop} must lie after the first read ${first + 1} and not beyond ${count}")
        }
        if (stop - first < 2) {
            throw new Problem("reads ${first + 1} to ${stop} are one read only; at least 2 are needed")
        }
        return [first, stop] as int[]
    }
}
