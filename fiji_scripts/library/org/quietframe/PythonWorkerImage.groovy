package org.quietframe

import groovy.transform.CompileStatic
import ij.ImagePlus
import ij.measure.Calibration
import org.apposed.appose.NDArray

import java.nio.ByteOrder
import java.nio.FloatBuffer

/** An image in memory that Java and Python share, as float32 planes in ImageJ's order, in pieces that one buffer can hold. */
@CompileStatic
class PythonWorkerImage implements AutoCloseable {

    private static final long PIECE_BYTES = 1L << 29
    private static final File SHARED = new File('/dev/shm') // Linux keeps shared memory there; elsewhere there is no such folder

    final List<NDArray> parts = []
    private final int width, height, planes, perPiece

    PythonWorkerImage(int width, int height, int planes) {
        this.width = width
        this.height = height
        this.planes = planes
        perPiece = (int) Math.max(1L, PIECE_BYTES.intdiv(4L * width * height))
        requireRoom(4L * width * height * planes, SHARED.isDirectory() ? SHARED.usableSpace : Long.MAX_VALUE)
        for (int first = 0; first < planes; first += perPiece) {
            NDArray.Shape shape = new NDArray.Shape(NDArray.Shape.Order.C_ORDER, Math.min(perPiece, planes - first), height, width)
            parts.add(new NDArray(NDArray.DType.FLOAT32, shape))
        }
    }

    /** Copy an image in, plane by plane. */
    static PythonWorkerImage of(ImagePlus image) {
        PythonWorkerImage shared = new PythonWorkerImage(image.width, image.height, image.getStackSize())
        try {
            shared.put(image)
            return shared
        } catch (Throwable error) {
            shared.close()
            throw error
        }
    }

    /** Copy an image of this size in. */
    void put(ImagePlus image) {
        for (int i = 0; i < planes; i++) {
            Object stored = image.type == ImagePlus.GRAY32 ? image.getStack().getProcessor(i + 1).pixels : null
            buffer(i).put(stored == null ? Hyperstacks.plane(image, i + 1) : (float[]) stored)
        }
    }

    boolean fits(ImagePlus image) {
        return width == image.width && height == image.height && planes == image.getStackSize()
    }

    long getBytes() {
        return 4L * width * height * planes
    }

    /** Plane `index`, from 0; a copy. */
    float[] plane(int index) {
        float[] values = new float[width * height]
        buffer(index).get(values)
        return values
    }

    private FloatBuffer buffer(int index) {
        FloatBuffer values = parts.get(index.intdiv(perPiece) as int).buffer().order(ByteOrder.nativeOrder()).asFloatBuffer()
        values.position((index % perPiece) * width * height)
        return values
    }

    /** Writing more than the memory holds would end the whole Java machine, so it is refused before. */
    static void requireRoom(long bytes, long free) {
        if (bytes > free) {
            throw new Problem("the shared memory (${SHARED}) has ${free >> 20} MB free, the image needs ${bytes >> 20} MB: " +
                'take a part of it (Image > Duplicate...), or make /dev/shm larger')
        }
    }

    /** What Python must know of an image beside its pixels. */
    static Map<String, Object> describe(ImagePlus image) {
        int[] sizes = [image.getNFrames(), image.getNSlices(), image.getNChannels()] as int[]
        String axes = ''
        List<Integer> shape = []
        for (int i = 0; i < 3; i++) {
            if (sizes[i] > 1) {
                axes += 'TZC'.substring(i, i + 1)
                shape.add(sizes[i])
            }
        }
        String type = image.type == ImagePlus.GRAY8 ? 'uint8' : image.type == ImagePlus.GRAY16 ? 'uint16' : 'float32'
        Map<String, Object> about = [:]
        about.put('title', image.title)
        about.put('axes', axes + 'YX')
        about.put('shape', shape + [image.height, image.width])
        about.put('dtype', image.calibration.calibrated() ? 'float32' : type) // calibrated values are no whole numbers
        about.put('pixel_size_um', pixelSize(image.calibration, image.getNSlices() > 1))
        about.put('frame_interval_s', seconds(image.calibration))
        about.put('info', image.infoProperty ?: '')
        return about
    }

    private static Map<String, Double> pixelSize(Calibration calibration, boolean depth) {
        boolean microns = calibration.unit in ['um', 'µm', 'micron', 'microns', 'micrometer', '\u03bcm', '\\u00B5m']
        if (!microns) {
            return [:]
        }
        Map<String, Double> sizes = [Y: calibration.pixelHeight, X: calibration.pixelWidth]
        if (depth) {
            sizes.put('Z', calibration.pixelDepth)
        }
        return sizes
    }

    private static double seconds(Calibration calibration) {
        return calibration.timeUnit in ['sec', 's', 'second', 'seconds'] && calibration.frameInterval > 0 ? calibration.frameInterval : 0d
    }

    @Override
    void close() {
        parts.each { NDArray part -> part.close() }
        parts.clear()
    }
}
