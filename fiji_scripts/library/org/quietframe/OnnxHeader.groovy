package org.quietframe

import groovy.transform.CompileStatic

/**
 * What an ONNX file says of itself: quietframe/inference/onnx_header.py in Groovy. Only the outermost fields of the
 * protocol-buffers message are read, so a model can be described and refused before ONNX Runtime is started.
 */
@CompileStatic
class OnnxHeader {

    /** Versions of the file format and of the standard operators. */
    int irVersion, opset
    String producer = ''
    /** String properties; Quietframe's begin with "quietframe.". */
    final Map<String, String> properties = [:]

    private final byte[] data
    private int at
    private int end

    static OnnxHeader read(byte[] data, String name) {
        OnnxHeader header = new OnnxHeader(data, 0, data.length)
        boolean graph = false
        try {
            graph = header.readFields()
        } catch (IndexOutOfBoundsException | IllegalArgumentException ignored) {
            graph = false
        }
        if (!graph || header.irVersion == 0 || header.opset == 0) {
            throw new Problem("${name} is no ONNX model (${data.length} bytes that do not parse as one); copy or export it again")
        }
        return header
    }

    private OnnxHeader(byte[] data, int at, int end) {
        this.data = data
        this.at = at
        this.end = end
    }

    private boolean readFields() {
        boolean graph = false
        while (at < end) {
            int field = next()
            switch (field) {
                case 1: irVersion = (int) number; break
                case 2: producer = text(); break
                case 7: graph = true; break
                case 8:
                    OnnxHeader entry = inner()
                    String domain = ''
                    long version = 0
                    while (entry.at < entry.end) {
                        int part = entry.next()
                        domain = part == 1 ? entry.text() : domain
                        version = part == 2 ? entry.number : version
                    }
                    opset = domain.isEmpty() ? (int) version : opset // the standard operators' domain has no name
                    break
                case 14:
                    OnnxHeader pair = inner()
                    String key = '', value = ''
                    while (pair.at < pair.end) {
                        int part = pair.next()
                        key = part == 1 ? pair.text() : key
                        value = part == 2 ? pair.text() : value
                    }
                    properties.put(key, value)
                    break
            }
        }
        return graph
    }

    private long number
    private int from, to

    /** Read one field: its number; its value is in `number`, or between `from` and `to`. */
    private int next() {
        long tag = varint()
        switch ((int) (tag & 7)) {
            case 0: number = varint(); break
            case 1: at += 8; break
            case 2:
                long length = varint()
                if (length < 0 || length > end - at) {
                    throw new IllegalArgumentException()
                }
                from = at
                to = at + (int) length
                at = to
                break
            case 5: at += 4; break
            default: throw new IllegalArgumentException()
        }
        if (at > end) {
            throw new IllegalArgumentException()
        }
        return (int) (tag >>> 3)
    }

    private long varint() {
        long value = 0
        for (int shift = 0; shift < 64; shift += 7) {
            byte part = data[at++]
            value |= (long) (part & 0x7f) << shift
            if (part >= 0) {
                return value
            }
        }
        throw new IllegalArgumentException()
    }

    private String text() {
        return new String(data, from, to - from, 'UTF-8')
    }

    private OnnxHeader inner() {
        return new OnnxHeader(data, from, to)
    }
}
