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
    /** Context that tiles compute and crop, pixels per side; tiles start at multiples of step; smallest picture. */
    final int halo, step, minimum
    final String sha256
    private final OrtSession session
    private final Map<String, String> properties
    private final String inputName, outputName
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
            if (property('axes') != 'NCYX') {
                throw new Problem(property('axes') == null ?
                    "${file.name} does not say what its axes are; only models exported by Quietframe run here " +
                    '(quietframe export), others in deepImageJ' :
                    "${file.name} takes axes ${property('axes')}; models for planes, NCYX, run here")
            }
            halo = number('halo')
            step = Math.max(1, number('step'))
            minimum = Math.max(1, number('min'))
            NodeInfo input = session.inputInfo.values().first()
            TensorInfo tensor = (TensorInfo) input.info
            inputName = input.name
            inputShape = tensor.shape
            if (session.numInputs != 1 || tensor.type != OnnxJavaType.FLOAT || inputShape.length != 4) {
                throw new Problem("${file.name} takes ${tensor}; one float32 input with four axes (NCYX) is needed")
            }
            if (inputShape[1] > 1) {
                throw new Problem("${file.name} takes ${inputShape[1]} channels at once; models that take one run here")
            }
            outputName = (property('outputs') ?: 'denoised').split(',')[0].trim()
            if (!session.outputNames.contains(outputName)) {
                throw new Problem("${file.name} has no output ${outputName}; it has ${session.outputNames.join(', ')}")
            }
        } catch (Throwable error) {
            session.close()
            throw error
        }
    }

    /** A property that the export wrote, e.g. "method"; null when it did not. */
    String property(String name) {
        return properties.get("quietframe.${name}".toString())
    }

    private int number(String name) {
        String text = property(name)
        if (text == null || !text.isInteger() || text.toInteger() < 0) {
            throw new Problem("${file.name}: its property quietframe.${name} is ${text}, not a number of pixels; " +
                'export the model again')
        }
        return text.toInteger()
    }

    /** Refuse pictures that the network cannot take. */
    void checkSize(int height, int width) {
        if (inputShape[2] > 0 && inputShape[3] > 0 && (inputShape[2] != height || inputShape[3] != width)) {
            throw new Problem("${file.name} takes pictures of exactly ${inputShape[2]} x ${inputShape[3]} pixels (height " +
                "x width); this one has ${height} x ${width}; crop it, or export the model with free height and width")
        }
        if (Math.min(height, width) < minimum) {
            throw new Problem("the picture has ${height} x ${width} pixels; ${file.name} needs at least " +
                "${minimum} x ${minimum}; give a larger picture")
        }
    }

    /** A direct buffer for `pixels` values, which ONNX Runtime reads without a copy. */
    static FloatBuffer buffer(int pixels) {
        return ByteBuffer.allocateDirect(4 * pixels).order(ByteOrder.nativeOrder()).asFloatBuffer()
    }

    /** Run one region: `input` holds height x width values from its position on; the denoised ones, row by row. */
    float[] run(FloatBuffer input, int height, int width) {
        OrtEnvironment environment = OrtEnvironment.environment
        float[] values = new float[height * width]
        try (OnnxTensor tensor = OnnxTensor.createTensor(environment, input, [1L, 1L, height, width] as long[])
             OrtSession.Result result = session.run([(inputName): tensor], [outputName] as Set<String>)) {
            OnnxTensor output = (OnnxTensor) result.get(0)
            if (output.info.numElements != values.length) {
                throw new Problem("${file.name} returns an array of shape ${output.info.shape} for ${height} x ${width} " +
                    'pixels; models that keep the size run here')
            }
            // The buffer lies in native memory that is gone after this block.
            output.byteBuffer.order(ByteOrder.nativeOrder()).asFloatBuffer().get(values)
        } catch (OrtException error) {
            String text = oneLine(error)
            throw new Problem(text.toLowerCase().contains('alloc') ?
                "not enough memory to run ${height} x ${width} pixels at once; use smaller tiles, e.g. tile=512" :
                "${file.name}: ONNX Runtime failed on ${height} x ${width} pixels: ${text}", error)
        }
        return values
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
