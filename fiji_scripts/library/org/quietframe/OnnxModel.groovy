package org.quietframe

import ai.onnxruntime.NodeInfo
import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtProvider
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import ai.onnxruntime.providers.OrtCUDAProviderOptions
import groovy.transform.CompileStatic

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipFile

/** A network of a Quietframe package, loaded: what it says of itself, what runs it, and running it on one region. */
@CompileStatic
class OnnxModel implements AutoCloseable {

    static final List<String> PROVIDERS = ['auto', 'cpu', 'cuda']

    final File file
    /** "cpu" or "cuda": what runs the network. */
    final String provider
    /** One sentence for people: what runs it, and why not CUDA. */
    final String providerNote
    /** Whether it takes volumes (z, y, x); else planes. */
    final boolean volumes
    /** Context that tiles compute and crop, pixels per side; tiles start at multiples of step; smallest picture. */
    final int[] halo, step, minimum
    /** Channels that it takes at once, and that it returns. */
    final int channels, outputChannels
    /** Names of the outputs, "denoised" first. */
    final List<String> outputs
    final String sha256
    private final OrtSession session
    private final Map<String, String> properties
    private final String inputName
    private final long[] inputShape

    private static OnnxModel kept
    private static String keptFor

    /** The model of a file, loaded anew only when the file, its date or the provider changed since the last call. */
    static synchronized OnnxModel of(String path, String wanted) {
        if (!PROVIDERS.contains(wanted)) {
            throw Problem.unknown('provider', wanted, PROVIDERS)
        }
        if (path == null || path.trim().isEmpty()) {
            throw new Problem('no model is given: give model=[path of a package (.zip) or of an .onnx file]')
        }
        File file = new File(path.trim()).absoluteFile
        if (!file.isFile()) {
            throw new Problem("the model ${path} does not exist; give the path of a package (.zip) or of an .onnx file")
        }
        String key = "${file} ${file.lastModified()} ${file.length()} ${wanted}"
        if (kept == null || keptFor != key) {
            closeKept()
            kept = new OnnxModel(file, wanted)
            keptFor = key
        }
        return kept
    }

    /** Free the memory of the model that is kept for the next call. */
    static synchronized void closeKept() {
        kept?.close()
        kept = null
        keptFor = null
    }

    private OnnxModel(File file, String wanted) {
        this.file = file
        byte[] weights = weightsOf(file)
        sha256 = java.security.MessageDigest.getInstance('SHA-256').digest(weights).encodeHex().toString()
        Started started = Started.start(file, weights, wanted)
        session = started.session
        provider = started.provider
        providerNote = started.note
        properties = session.metadata.customMetadata
        try {
            volumes = property('axes') == 'NCZYX'
            if (!volumes && property('axes') != 'NCYX') {
                throw new Problem(property('axes') == null ?
                    "${file.name} does not say what its axes are; only models exported by Quietframe run here " +
                    '(quietframe export), others in deepImageJ' :
                    "${file.name} takes axes ${property('axes')}; models for planes (NCYX) and volumes (NCZYX) run here")
            }
            halo = numbers('halo', 0)
            step = numbers('step', 1)
            minimum = numbers('min', 1)
            NodeInfo input = session.inputInfo.values().first()
            TensorInfo tensor = (TensorInfo) input.info
            inputName = input.name
            inputShape = tensor.shape
            if (session.numInputs != 1 || tensor.type != OnnxJavaType.FLOAT || inputShape.length != 2 + halo.length) {
                throw new Problem("${file.name} takes ${tensor}; one float32 input with the axes ${property('axes')} is needed")
            }
            channels = Math.max(1, (int) inputShape[1])
            outputs = (property('outputs') ?: 'denoised').split(',').collect { String name -> name.trim() }
            for (String name : outputs) {
                if (!session.outputNames.contains(name)) {
                    throw new Problem("${file.name} has no output ${name}; it has ${session.outputNames.join(', ')}")
                }
            }
            TensorInfo first = (TensorInfo) session.outputInfo.get(outputs.first()).info
            outputChannels = Math.max(1, (int) first.shape[1])
        } catch (Throwable error) {
            session.close()
            throw error
        }
    }

    /** A property that the export wrote, e.g. "method"; null when it did not. */
    String property(String name) {
        return properties.get("quietframe.${name}".toString())
    }

    /** Sizes of a property: "28" of planes (y and x alike), "12,28,28" of volumes (z, y, x). */
    private int[] numbers(String name, int least) {
        String text = property(name)
        List<String> parts = text == null ? [] as List<String> : text.split(',').toList()
        boolean valid = parts.size() == (volumes ? 3 : 1) && parts.every { String part ->
            part ==~ /\d{1,9}/ && part.toInteger() >= least
        }
        if (!valid) {
            String form = volumes ? 'three numbers of pixels (z,y,x)' : 'a number of pixels'
            throw new Problem("${file.name}: its property quietframe.${name} is ${text}, not ${form}; export the model again")
        }
        int[] sizes = new int[volumes ? 3 : 2]
        for (int axis = 0; axis < sizes.length; axis++) {
            sizes[axis] = parts.get(volumes ? axis : 0).toInteger()
        }
        return sizes
    }

    /** Refuse pictures that the network cannot take; size is height and width, of volumes depth, height and width. */
    void checkSize(int[] size) {
        String axes = volumes ? 'depth x height x width' : 'height x width'
        boolean fixed = true, same = true, large = true
        for (int axis = 0; axis < size.length; axis++) {
            fixed &= inputShape[2 + axis] > 0
            same &= inputShape[2 + axis] == size[axis]
            large &= size[axis] >= minimum[axis]
        }
        if (fixed && !same) {
            throw new Problem("${file.name} takes pictures of exactly ${inputShape.toList().drop(2).join(' x ')} pixels (${axes}); " +
                "this one has ${size.join(' x ')}; crop it, or export the model with free sizes")
        }
        if (!large) {
            throw new Problem("the picture has ${size.join(' x ')} pixels; ${file.name} needs at least " +
                "${minimum.join(' x ')} (${axes}); give a larger picture")
        }
    }

    /** A direct buffer for `values` numbers, which ONNX Runtime reads without a copy. */
    FloatBuffer buffer(long values) {
        if (values > Integer.MAX_VALUE.intdiv(4)) {
            throw new Problem("${values} values at once are more than Java can hand over; give a smaller tile, e.g. " +
                (volumes ? 'tile=96' : 'tile=512'))
        }
        return ByteBuffer.allocateDirect(4 * (int) values).order(ByteOrder.nativeOrder()).asFloatBuffer()
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
             OrtSession.Result result = session.run([(inputName): tensor], new LinkedHashSet<String>(outputs))) {
            for (int i = 0; i < results.length; i++) {
                OnnxTensor output = (OnnxTensor) result.get(outputs.get(i)).get()
                if (output.info.numElements != pixels) {
                    throw new Problem("${file.name} returns an array of shape ${output.info.shape} for ${size.join(' x ')} " +
                        'pixels; models that keep the size run here')
                }
                // The buffer lies in native memory that is gone after this block.
                results[i] = new float[pixels]
                output.byteBuffer.order(ByteOrder.nativeOrder()).asFloatBuffer().get(results[i])
            }
        } catch (OrtException error) {
            String text = oneLine(error)
            throw new Problem(text.toLowerCase().contains('alloc') ?
                "not enough memory to run ${size.join(' x ')} pixels at once; use smaller tiles, e.g. " +
                (volumes ? 'tile=96' : 'tile=512') :
                "${file.name}: ONNX Runtime failed on ${size.join(' x ')} pixels: ${text}", error)
        }
        return results
    }

    @Override
    void close() {
        session.close()
    }

    private static byte[] weightsOf(File file) {
        if (!file.name.toLowerCase().endsWith('.zip')) {
            return file.bytes
        }
        try (ZipFile zip = new ZipFile(file)) {
            List<? extends ZipEntry> entries = Collections.list(zip.entries())
            ZipEntry entry = entries.find { ZipEntry it -> it.name == 'weights.onnx' || it.name.endsWith('/weights.onnx') }
            if (entry == null) {
                throw new Problem("${file.name} is no model package: it holds no weights.onnx")
            }
            return zip.getInputStream(entry).bytes
        } catch (ZipException error) {
            throw new Problem("${file.name} is not a readable zip file (${error.message}); copy or export it again", error)
        }
    }

    static String oneLine(Throwable error) {
        return String.valueOf(error.message).replaceAll(/\s+/, ' ').take(300)
    }

    /** A session, and which provider it got. */
    private static class Started {
        OrtSession session
        String provider
        String note

        static Started start(File file, byte[] weights, String wanted) {
            // The environment comes first: session options need it.
            OrtEnvironment environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
            String runtime = "onnxruntime ${environment.version}"
            if (wanted == 'cpu') {
                return new Started(session: open(file, weights, false), provider: 'cpu', note: "CPU, ${runtime}, as asked")
            }
            String reason
            if (OrtEnvironment.availableProviders.contains(OrtProvider.CUDA)) {
                try {
                    return new Started(session: open(file, weights, true), provider: 'cuda', note: "CUDA, ${runtime}")
                } catch (OrtException error) {
                    reason = "CUDA could not be started: ${oneLine(error)}"
                }
            } else {
                reason = "the ONNX Runtime jar here is the one for CPUs (quietframe fiji install --gpu brings the other)"
            }
            if (wanted == 'cuda') {
                throw new Problem("provider cuda cannot be used: ${reason}; or choose provider=cpu")
            }
            return new Started(session: open(file, weights, false), provider: 'cpu',
                note: "CPU, ${runtime}; not CUDA: ${reason}")
        }

        private static OrtSession open(File file, byte[] weights, boolean cuda) {
            OrtEnvironment environment = OrtEnvironment.environment
            try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
                options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
                // Named explicitly: left to itself, ONNX Runtime pins threads to cores that a container may not have.
                options.setIntraOpNumThreads(Runtime.runtime.availableProcessors())
                // Planned per shape of a tile, and there are up to nine: twice the memory and no gain in time.
                options.setMemoryPatternOptimization(false)
                if (!cuda) {
                    return environment.createSession(weights, options)
                }
                try (OrtCUDAProviderOptions gpu = new OrtCUDAProviderOptions(0)) {
                    gpu.add('cudnn_conv_algo_search', 'HEURISTIC')
                    gpu.add('use_tf32', '0') // three digits more
                    options.addCUDA(gpu)
                    return environment.createSession(weights, options)
                }
            } catch (OrtException error) {
                if (cuda) {
                    throw error
                }
                throw new Problem("${file.name}: ONNX Runtime ${environment.version} cannot load it: ${oneLine(error)}", error)
            }
        }
    }
}
