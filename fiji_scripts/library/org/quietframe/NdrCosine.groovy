package org.quietframe

import groovy.transform.CompileStatic

/**
 * Orthonormal cosine transforms (DCT-II) of any length, two real rows at a time: a Fourier transform of the reordered
 * rows (Makhoul 1980), of any length by a convolution with a chirp (Bluestein 1970). Not to be shared between threads.
 */
@CompileStatic
class NdrCosine {

    private final int n, size
    private final double[] chirpRe, chirpIm, filterRe, filterIm, turnRe, turnIm, re, im, rootRe, rootIm
    private final int[] swap

    NdrCosine(int n) {
        this.n = n
        int power = 1
        while (power < 2 * n - 1) {
            power *= 2
        }
        size = power
        re = new double[size]
        im = new double[size]
        rootRe = new double[Math.max(1, size.intdiv(2) as int)]
        rootIm = new double[rootRe.length]
        for (int i = 0; i < rootRe.length; i++) {
            rootRe[i] = Math.cos(2.0d * Math.PI * i / size)
            rootIm[i] = -Math.sin(2.0d * Math.PI * i / size)
        }
        swap = new int[size]
        for (int i = 1; i < size; i++) {
            swap[i] = (swap[i >> 1] >> 1) | ((i & 1) == 1 ? size >> 1 : 0)
        }
        chirpRe = new double[n]
        chirpIm = new double[n]
        turnRe = new double[n]
        turnIm = new double[n]
        filterRe = new double[size]
        filterIm = new double[size]
        prepare()
    }

    private void prepare() {
        for (int i = 0; i < n; i++) {
            double angle = Math.PI * (((long) i * i) % (2L * n)) / n
            chirpRe[i] = Math.cos(angle)
            chirpIm[i] = -Math.sin(angle)
            double scale = i == 0 ? Math.sqrt(1.0d / n) : Math.sqrt(2.0d / n)
            turnRe[i] = scale * Math.cos(Math.PI * i / (2.0d * n))
            turnIm[i] = -scale * Math.sin(Math.PI * i / (2.0d * n))
            filterRe[i] = chirpRe[i]
            filterIm[i] = -chirpIm[i]
            if (i > 0) {
                filterRe[size - i] = chirpRe[i]
                filterIm[size - i] = -chirpIm[i]
            }
        }
        fourier(filterRe, filterIm)
    }

    /** Transform two rows of n numbers in place. */
    void transform(double[] first, double[] second) {
        Arrays.fill(re, 0.0d)
        Arrays.fill(im, 0.0d)
        for (int i = 0; i < n; i++) {
            int from = 2 * i < n ? 2 * i : 2 * (n - 1 - i) + 1
            double a = first[from], b = second[from]
            re[i] = a * chirpRe[i] - b * chirpIm[i]
            im[i] = a * chirpIm[i] + b * chirpRe[i]
        }
        fourier(re, im)
        // Their product with the filter, conjugated: then the same transform goes back.
        for (int i = 0; i < size; i++) {
            double a = re[i] * filterRe[i] - im[i] * filterIm[i]
            double b = re[i] * filterIm[i] + im[i] * filterRe[i]
            re[i] = a
            im[i] = -b
        }
        fourier(re, im)
        for (int i = 0; i < n; i++) {
            double a = re[i] / size, b = -im[i] / size
            re[i] = a * chirpRe[i] - b * chirpIm[i]
            im[i] = a * chirpIm[i] + b * chirpRe[i]
        }
        for (int k = 0; k < n; k++) {
            // The spectra of the two rows, told apart by their symmetry.
            int other = k == 0 ? 0 : n - k
            double firstRe = 0.5d * (re[k] + re[other]), firstIm = 0.5d * (im[k] - im[other])
            double secondRe = 0.5d * (im[k] + im[other]), secondIm = 0.5d * (re[other] - re[k])
            first[k] = firstRe * turnRe[k] - firstIm * turnIm[k]
            second[k] = secondRe * turnRe[k] - secondIm * turnIm[k]
        }
    }

    /** Fourier transform of a power of two, in place. */
    private void fourier(double[] x, double[] y) {
        for (int i = 0; i < size; i++) {
            int j = swap[i]
            if (i < j) {
                double a = x[i], b = y[i]
                x[i] = x[j]
                y[i] = y[j]
                x[j] = a
                y[j] = b
            }
        }
        for (int half = 1; half < size; half *= 2) {
            int step = size.intdiv(2 * half) as int
            for (int start = 0; start < size; start += 2 * half) {
                for (int i = 0; i < half; i++) {
                    double c = rootRe[i * step], s = rootIm[i * step]
                    int low = start + i, high = low + half
                    double a = x[high] * c - y[high] * s, b = x[high] * s + y[high] * c
                    x[high] = x[low] - a
                    y[high] = y[low] - b
                    x[low] = x[low] + a
                    y[low] = y[low] + b
                }
            }
        }
    }
}
