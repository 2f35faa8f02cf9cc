package org.quietframe

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import groovy.transform.CompileStatic

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer

/** A network of a Quietframe package, loaded: its axes and sizes, what runs it, and running it on one region. */
@CompileStatic
class OnnxModel implements AutoCloseable {

    final ModelFile source
    /** Whether it takes volumes (z, y, x); else planes. */
    final boolean volumes
    /** Context that tiles compute and crop, pixels per side; tiles start at multiples of step; smallest picture. */
    final int[] halo, step, minimum
    /** Channels that it takes at once, and that it returns. */
    final int channels, outputChannels
    /** Names of the outputs, "denoised" first. */
    final List<String> outputs
    private final OnnxSession started
    private final String inputName
    private final long[] inputShape
    private FloatBuffer kept

    private static OnnxModel current
    private static String currentFor

    /**
     * The model that is meant, loaded anew only when the file, its size, its date, the provider or the threads
     * changed since the last call.
     */
    static synchronized OnnxModel of(String path, String provider, int threads) {
        OnnxSession.check(provider, threads)
        File file = Models.find(path)
        String key = "${ModelFile.stamp(file)} ${provider} ${threads}"
        if (current == null || currentFor != key) {
            closeKept()
            current = new OnnxModel(new ModelFile(file), provider, threads)
            currentFor = key
        }
        return current
    }

    /** Free the memory of the model that is kept for the next call. */
    static synchronized void closeKept() {
        current?.close()
        current = null
        currentFor = null
    }

    private OnnxModel(ModelFile source, String wanted, int threads) {
        this.source = source
        volumes = source.property('axes') == 'NCZYX'
        checkKind()
        halo = numbers('halo', 0)
        step = numbers('step', 1)
        minimum = numbers('min', 1)
        started = OnnxSession.start(source, wanted, threads)
        try {
            NodeInfo input = started.session.inputInfo.values().first()
            inputName = input.name
            inputShape = checkInput(input)
            channels = Math.max(1, (int) inputShape[1])
            outputs = (source.property('outputs') ?: 'denoised').split(',').collect { String name -> name.trim() }
            for (String output : outputs) {
                if (!started.session.outputNames.contains(output)) {
                    throw new Problem("${name()} has no output ${output}; it has ${started.session.outputNames.join(', ')}")
                }
            }
            TensorInfo first = (TensorInfo) started.session.outputInfo.get(outputs.first()).info
            outputChannels = Math.max(1, (int) first.shape[1])
        } catch (Throwable error) {
            started.close()
            throw error
        }
    }

    String name() { source.file.name }

    String getProvider() { started.provider }

    String getProviderNote() { started.note }

    private void checkKind() {
        String axes = source.property('axes')
        if (axes == null) {
            throw new Problem("${name()} does not say what its axes are (${source.header.producer ?: 'unknown producer'}, opset " +
                "${source.header.opset}); only models exported by Quietframe run here (quietframe export), others in deepImageJ")
        }
        if (!volumes && axes != 'NCYX') {
            throw new Problem("${name()} takes axes ${axes}; models for planes (NCYX) and volumes (NCZYX) run here")
        }
    }

    private long[] checkInput(NodeInfo input) {
        int inputs = (int) started.session.numInputs
        if (inputs != 1) {
            throw new Problem("${name()} takes ${inputs} inputs (${started.session.inputNames.join(', ')}); networks with one run here")
        }
        TensorInfo tensor = (TensorInfo) input.info
        if (tensor.type != OnnxJavaType.FLOAT) {
            throw new Problem("${name()}: its input ${input.name} is ${tensor.type.toString().toLowerCase()}; Quietframe gives " +
                'float32; export the model with a float32 input')
        }
        if (tensor.shape.length != 2 + halo.length) {
            throw new Problem("${name()}: its input ${input.name} has shape ${tensor.shape.toList()}; ${2 + halo.length} axes, " +
                "${source.property('axes')}, are expected")
        }
        return tensor.shape
    }

    /** Sizes of a property: "28" of planes (y and x alike), "12,28,28" of volumes (z, y, x). */
    private int[] numbers(String name, int least) {
        String text = source.property(name)
        List<String> parts = text == null ? [] as List<String> : text.split(',').toList()
        boolean valid = parts.size() == (volumes ? 3 : 1) && parts.every { String part ->
            part ==~ /\d{1,9}/ && part.toInteger() >= least
        }
        if (!valid) {
            String form = volumes ? 'three numbers of pixels (z,y,x)' : 'a number of pixels'
            throw new Problem("${this.name()}: its property quietframe.${name} is ${text}, not ${form}; export the model again")
        }
        int[] sizes = new int[volumes ? 3 : 2]
        for (int axis = 0; axis < sizes.length; axis++) {
            sizes[axis] = parts.get(volumes ? axis : 0).toInteger()
        }
        return sizes
    }

    /** Whether the network takes only one size along some axis, so that it cannot be run in tiles. */
    boolean isFixed() {
        return inputShape.toList().drop(2).any { Object length -> ((Number) length).longValue() > 0 }
    }

    /** Refuse pictures that the network cannot take; size is height and width, of volumes depth, height and width. */
    void checkSize(int[] size) {
        String axes = volumes ? 'depth x height x width' : 'height x width'
        boolean same = true, large = true
        for (int axis = 0; axis < size.length; axis++) {
            same &= inputShape[2 + axis] <= 0 || inputShape[2 + axis] == size[axis]
            large &= size[axis] >= minimum[axis]
        }
        if (!same) {
            String taken = inputShape.toList().drop(2).collect { Object length ->
                ((Number) length).longValue() > 0 ? length : 'any'
            }.join(' x ')
            throw new Problem("${name()} takes pictures of exactly ${taken} pixels (${axes}); " +
                "this one has ${size.join(' x ')}; crop it, or export the model with free sizes")
        }
        if (!large) {
            throw new Problem("the picture has ${size.join(' x ')} pixels; ${name()} needs at least " +
                "${minimum.join(' x ')} (${axes}); give a larger picture")
        }
    }

    /** A direct buffer for at least `values` numbers, which ONNX Runtime reads without a copy; kept for the next call. */
    FloatBuffer buffer(long values) {
        if (values > Integer.MAX_VALUE.intdiv(4)) {
            throw new Problem("${values} values at once are more than Java can hand over; give a smaller tile, e.g. " +
                (volumes ? 'tile=96' : 'tile=512'))
        }
        // Its memory is not Java's own, which collects it late: a new one for every call would pile up.
        if (kept == null || kept.capacity() < values) {
            kept = ByteBuffer.allocateDirect(4 * (int) values).order(ByteOrder.nativeOrder()).asFloatBuffer()
        }
        return kept
    }

    /**
     * Run one region: `input` holds channels x (depth x) height x width values from its position on, x fastest; for
     * each output its values in the same order.
     */
    float[][] run(FloatBuffer input, int[] size) {
        OrtEnvironment environment = OrtEnvironment.environment
        long[] shape = new long[2 + size.length]
        shape[0] = 1
        shape[1] = channels
        int pixels = outputChannels
        for (int axis = 0; axis < size.length; axis++) {
            shape[2 + axis] = size[axis]
            pixels *= size[axis]
        }
        float[][] results = new float[outputs.size()][]
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, input, shape)
             OrtSession.Result result = started.session.run([(inputName): tensor], new LinkedHashSet<String>(outputs))) {
            for (int i = 0; i < results.length; i++) {
                OnnxTensor output = (OnnxTensor) result.get(outputs.get(i)).get()
                if (output.info.numElements != pixels || output.info.type != OnnxJavaType.FLOAT) {
                    throw new Problem("${name()} returns ${output.info.type.toString().toLowerCase()} of shape " +
                        "${output.info.shape.toList()} for ${size.join(' x ')} pixels; models that return float32 of the same " +
                        'size run here')
                }
                results[i] = output.floatBuffer.array() // a copy in Java's memory; the tensor is gone after this block
            }
        } catch (OrtException error) {
            String text = OnnxSession.oneLine(error)
            throw new Problem(text.toLowerCase().contains('alloc') ?
                "not enough memory to run ${size.join(' x ')} pixels at once; use smaller tiles, e.g. " +
                (volumes ? 'tile=96' : 'tile=512') :
                "${name()}: ONNX Runtime failed on ${size.join(' x ')} pixels: ${text}", error)
        }
        return results
    }

    @Override
    void close() {
        started.close()
    }
}
