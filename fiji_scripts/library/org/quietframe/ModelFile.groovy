package org.quietframe

import groovy.transform.CompileStatic

import java.util.zip.ZipEntry
import java.util.zip.ZipException
import java.util.zip.ZipFile

/** A model as it lies on the disk: a package (.zip or its folder) or a bare .onnx, read without running it. */
@CompileStatic
class ModelFile {

    static final String WEIGHTS = 'weights.onnx'

    final File file
    final byte[] weights
    final String sha256
    final OnnxHeader header
    /** The package's quietframe.json: settings, statistics of the training data, provenance; empty without one. */
    final Map<String, Object> record

    ModelFile(File file) {
        this.file = file
        Map<String, byte[]> parts = partsOf(file)
        weights = parts.get(WEIGHTS)
        if (weights == null) {
            throw new Problem("${file.name} is no model package: it holds no ${WEIGHTS}")
        }
        sha256 = java.security.MessageDigest.getInstance('SHA-256').digest(weights).encodeHex().toString()
        String description = textOf(parts.get('rdf.yaml'))
        if (description.contains('sha256') && !description.contains(sha256)) {
            throw new Problem("${file.name}: ${WEIGHTS} does not have the checksum that rdf.yaml declares; it is damaged or " +
                'was changed; copy or export the package again')
        }
        header = OnnxHeader.read(weights, file.name)
        record = recordOf(textOf(parts.get('quietframe.json')))
    }

    /** A property that Quietframe's export wrote, e.g. "method"; null when it did not. */
    String property(String name) {
        return header.properties.get("quietframe.${name}".toString())
    }

    /** Statistics of the training data by name (mean, std, p01, p50, p999, min, max) and of one channel where asked. */
    Map<String, Double> statistics(int channel) {
        Object found = record.get('statistics')
        if (channel >= 0) {
            Object channels = found instanceof Map ? ((Map<String, Object>) found).get('channels') : null
            found = channels instanceof List && channel < ((List) channels).size() ? ((List) channels).get(channel) : null
        }
        Map<String, Double> numbers = [:]
        if (found instanceof Map) {
            ((Map<String, Object>) found).each { String key, Object value ->
                if (value instanceof Double) {
                    numbers.put(key, (Double) value)
                }
            }
        }
        return numbers
    }

    /** Tells one content of a file from another: where it lies, its size and its date. */
    static String stamp(File file) {
        File weights = file.isDirectory() ? new File(file, WEIGHTS) : file
        return "${file} ${weights.length()} ${weights.lastModified()}"
    }

    private static Map<String, byte[]> partsOf(File file) {
        Map<String, byte[]> parts = [:]
        List<String> wanted = [WEIGHTS, 'rdf.yaml', 'quietframe.json']
        if (file.isDirectory()) {
            for (String name : wanted) {
                File part = new File(file, name)
                if (part.isFile()) {
                    parts.put(name, part.bytes)
                }
            }
            return parts
        }
        if (!file.name.toLowerCase().endsWith('.zip')) {
            parts.put(WEIGHTS, file.bytes)
            return parts
        }
        try (ZipFile zip = new ZipFile(file)) {
            for (ZipEntry entry : Collections.list(zip.entries()) as List<ZipEntry>) {
                String name = entry.name.substring(entry.name.lastIndexOf('/') + 1)
                if (wanted.contains(name) && !parts.containsKey(name)) {
                    parts.put(name, zip.getInputStream(entry).bytes)
                }
            }
        } catch (ZipException error) {
            throw new Problem("${file.name} is not a readable zip file (${error.message}); copy or export it again", error)
        }
        return parts
    }

    private static String textOf(byte[] bytes) {
        return bytes == null ? '' : new String(bytes, 'UTF-8')
    }

    private Map<String, Object> recordOf(String text) {
        if (text.isEmpty()) {
            return [:]
        }
        try {
            Object found = Json.parse(text)
            return found instanceof Map ? (Map<String, Object>) found : [:]
        } catch (IllegalArgumentException error) {
            throw new Problem("${file.name}: quietframe.json cannot be read (${error.message}); copy or export the package again", error)
        }
    }
}
