package org.quietframe

import groovy.transform.CompileStatic

/** Which of the libraries that ONNX Runtime needs for CUDA this process could find; nothing is loaded. */
@CompileStatic
class CudaLibraries {

    private static final Map<String, String> LINUX = [
        'driver': 'libcuda.so.1', 'CUDA 12': 'libcudart.so.12', 'cuBLAS': 'libcublas.so.12', 'cuFFT': 'libcufft.so.11',
        'cuDNN 9': 'libcudnn.so.9',
    ]
    private static final Map<String, String> WINDOWS = [
        'driver': 'nvcuda.dll', 'CUDA 12': 'cudart64_12.dll', 'cuBLAS': 'cublas64_12.dll', 'cuFFT': 'cufft64_11.dll',
        'cuDNN 9': 'cudnn64_9.dll',
    ]
    private static final List<String> SYSTEM = [
        '/usr/lib/x86_64-linux-gnu', '/usr/lib64', '/usr/lib', '/usr/local/cuda/lib64', '/usr/lib/wsl/lib',
        'C:\\Windows\\System32',
    ]

    static String describe() {
        boolean windows = System.getProperty('os.name').toLowerCase().contains('windows')
        if (System.getProperty('os.name').toLowerCase().contains('mac')) {
            return 'there is no CUDA on a Mac'
        }
        return describe(windows ? WINDOWS : LINUX, places(windows))
    }

    /** One sentence: which libraries lie in the folders, and what to do about the others. */
    static String describe(Map<String, String> wanted, Collection<File> folders) {
        Map<String, String> missing = wanted.findAll { String name, String file ->
            !folders.any { File folder -> new File(folder, file).exists() }
        }
        return missing.isEmpty() ? 'all its libraries are on the library path' :
            "not on the library path of this Fiji: ${missing.collect { it.key + ' (' + it.value + ')' }.join(', ')}; install them, or " +
            'start Fiji with their folder in LD_LIBRARY_PATH (PATH on Windows)'
    }

    static Map<String, String> wanted() { LINUX }

    private static Collection<File> places(boolean windows) {
        String path = System.getenv(windows ? 'PATH' : 'LD_LIBRARY_PATH') ?: ''
        List<String> all = (path + File.pathSeparator + System.getProperty('java.library.path', '')).split(File.pathSeparator).toList() + SYSTEM
        return all.findAll { String text -> !text.isEmpty() }.toSet().collect { String text -> new File(text) }
    }
}
