package org.quietframe

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtProvider
import ai.onnxruntime.OrtSession
import ai.onnxruntime.providers.OrtCUDAProviderOptions
import groovy.transform.CompileStatic

/** A network started in ONNX Runtime, and the truth about what runs it. */
@CompileStatic
class OnnxSession implements AutoCloseable {

    static final List<String> PROVIDERS = ['auto', 'cpu', 'cuda']
    /** More are a slip of the keyboard; ONNX Runtime would start each of them. */
    static final int MOST_THREADS = 1024

    final OrtSession session
    /** "cpu" or "cuda": what runs the network. */
    final String provider
    /** One sentence for people: what runs it, and why not CUDA. */
    final String note

    private OnnxSession(OrtSession session, String provider, String note) {
        this.session = session
        this.provider = provider
        this.note = note
    }

    /** Refuse providers and numbers of threads that do not exist; threads 0 = all that this process may use. */
    static void check(String provider, int threads) {
        if (!PROVIDERS.contains(provider)) {
            throw Problem.unknown('provider', provider, PROVIDERS)
        }
        if (threads < 0 || threads > MOST_THREADS) {
            throw new Problem("threads must be 0 (all ${Runtime.runtime.availableProcessors()} of this machine) to " +
                "${MOST_THREADS}; got ${threads}")
        }
    }

    static OnnxSession start(ModelFile model, String wanted, int threads) {
        // The environment comes first: session options need it.
        OrtEnvironment environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
        String runtime = "onnxruntime ${environment.version}"
        if (wanted == 'cpu') {
            return new OnnxSession(open(model, false, threads), 'cpu', "CPU, ${runtime}, as asked")
        }
        String reason = whyNotCuda()
        if (reason.isEmpty()) {
            try {
                return new OnnxSession(open(model, true, threads), 'cuda', "CUDA, ${runtime}")
            } catch (OrtException error) {
                reason = "CUDA could not be started: ${oneLine(error)}"
            }
        }
        if (wanted == 'cuda') {
            throw new Problem("provider cuda cannot be used: ${reason}; or choose provider=cpu")
        }
        return new OnnxSession(open(model, false, threads), 'cpu', "CPU, ${runtime}; not CUDA: ${reason}")
    }

    /** The reason before anything is tried; empty when CUDA may work. */
    static String whyNotCuda() {
        return OrtEnvironment.availableProviders.contains(OrtProvider.CUDA) ? '' :
            'the ONNX Runtime jar here is the one for CPUs (quietframe fiji install --gpu brings the other)'
    }

    @Override
    void close() {
        session.close()
    }

    static String oneLine(Throwable error) {
        return String.valueOf(error.message).replaceAll(/\s+/, ' ').take(300)
    }

    private static OrtSession open(ModelFile model, boolean cuda, int threads) {
        OrtEnvironment environment = OrtEnvironment.environment
        try (OrtSession.SessionOptions options = new OrtSession.SessionOptions()) {
            options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
            // Named explicitly: left to itself, ONNX Runtime pins threads to cores that a container may not have.
            options.setIntraOpNumThreads(threads > 0 ? threads : Runtime.runtime.availableProcessors())
            // Planned per shape of a tile, and there are up to nine: twice the memory and no gain in time.
            options.setMemoryPatternOptimization(false)
            if (!cuda) {
                return environment.createSession(model.weights, options)
            }
            try (OrtCUDAProviderOptions gpu = new OrtCUDAProviderOptions(0)) {
                gpu.add('cudnn_conv_algo_search', 'HEURISTIC')
                gpu.add('use_tf32', '0') // three digits more
                options.addCUDA(gpu)
                return environment.createSession(model.weights, options)
            }
        } catch (OrtException error) {
            if (cuda) {
                throw error
            }
            throw new Problem("${model.file.name}: ONNX Runtime ${environment.version} cannot load it (opset " +
                "${model.header.opset}, IR ${model.header.irVersion}; Quietframe exports float32, opset 17, IR 8, which load " +
                "everywhere): ${oneLine(error)}", error)
        }
    }
}
