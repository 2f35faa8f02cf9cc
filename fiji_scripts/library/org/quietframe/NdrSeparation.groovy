package org.quietframe

import groovy.transform.CompileStatic

/**
 * Weights that turn the spectrum of a ramp's differences (k = 1 ... n - 1) into shot noise and squared read noise, best
 * for one mixture of the two: quietframe/ndr/noise_spectrum.py.
 */
@CompileStatic
class NdrSeparation {

    final double[] shot, read, readAlone
    /** Variance of the shot noise found, and of `readAlone`, for normal noise. */
    final double shotVariance, readAloneVariance

    NdrSeparation(int n, double shotNoise, double squaredReadNoise) {
        double[] q = power(n)
        int count = n - 1
        double[] expected = new double[count], trust = new double[count]
        double highest = 0.0d
        for (int i = 0; i < count; i++) {
            expected[i] = Math.max(shotNoise, 0.0d) + Math.max(squaredReadNoise, 0.0d) * q[i]
            highest = Math.max(highest, expected[i])
        }
        double strongest = 0.0d
        for (int i = 0; i < count; i++) {
            expected[i] = Math.max(expected[i], 1e-9d * highest + 1e-30d)
            trust[i] = 1.0d / (expected[i] * expected[i])
            strongest = Math.max(strongest, trust[i])
        }
        double ones = 0.0d, mixed = 0.0d, squares = 0.0d
        for (int i = 0; i < count; i++) {
            trust[i] /= strongest
            ones += trust[i]
            mixed += trust[i] * q[i]
            squares += trust[i] * q[i] * q[i]
        }
        double[][] inverse = pseudoInverse([[ones, mixed] as double[], [mixed, squares] as double[]] as double[][])
        shot = new double[count]
        read = new double[count]
        readAlone = new double[count]
        double ofShot = 0.0d, ofRead = 0.0d
        for (int i = 0; i < count; i++) {
            shot[i] = trust[i] * (inverse[0][0] + inverse[0][1] * q[i])
            read[i] = trust[i] * (inverse[1][0] + inverse[1][1] * q[i])
            readAlone[i] = trust[i] * q[i] / squares
            ofShot += 2.0d * shot[i] * shot[i] * expected[i] * expected[i]
            ofRead += 2.0d * readAlone[i] * readAlone[i] * expected[i] * expected[i]
        }
        shotVariance = ofShot
        readAloneVariance = ofRead
    }

    /** Mean power per unit of squared read noise. */
    private static double[] power(int n) {
        double[] q = new double[n - 1]
        for (int k = 1; k < n; k++) {
            double angle = Math.PI * k / (2.0d * n), sine = Math.sin(angle), cosine = Math.cos(angle)
            q[k - 1] = 4.0d * sine * sine + 4.0d / n * cosine * cosine
        }
        return q
    }

    /** {shot noise, squared read noise} of a mean spectrum. */
    static double[] separate(double[] spectrum) {
        int n = spectrum.length + 1
        double shot = 0.0d, read = 0.0d
        for (int i = 0; i < spectrum.length; i++) {
            shot += spectrum[i] / spectrum.length
        }
        for (int round = 0; round < 4; round++) {
            NdrSeparation weights = new NdrSeparation(n, shot, read)
            double newShot = 0.0d, newRead = 0.0d
            for (int i = 0; i < spectrum.length; i++) {
                newShot += weights.shot[i] * spectrum[i]
                newRead += weights.read[i] * spectrum[i]
            }
            shot = Math.max(newShot, 0.0d)
            read = Math.max(newRead, 0.0d)
        }
        return [shot, read] as double[]
    }

    static double sum(double[] values) {
        double total = 0.0d
        for (int i = 0; i < values.length; i++) {
            total += values[i]
        }
        return total
    }

    static double dot(double[] weights, float[] values) {
        double total = 0.0d
        for (int i = 0; i < weights.length; i++) {
            total += weights[i] * values[i]
        }
        return total
    }

    /** Pseudo-inverse of a small symmetric matrix, by Jacobi's rotations. */
    static double[][] pseudoInverse(double[][] matrix) {
        int n = matrix.length
        double[][] a = new double[n][], v = new double[n][n]
        for (int i = 0; i < n; i++) {
            a[i] = Arrays.copyOf(matrix[i], n)
            v[i][i] = 1.0d
        }
        for (int sweep = 0; sweep < 60; sweep++) {
            for (int p = 0; p < n; p++) {
                for (int q = p + 1; q < n; q++) {
                    rotate(a, v, p, q)
                }
            }
        }
        double largest = 0.0d
        for (int i = 0; i < n; i++) {
            largest = Math.max(largest, Math.abs(a[i][i]))
        }
        double[][] result = new double[n][n]
        for (int k = 0; k < n; k++) {
            if (Math.abs(a[k][k]) > 1e-15d * largest) {
                for (int i = 0; i < n; i++) {
                    for (int j = 0; j < n; j++) {
                        result[i][j] = result[i][j] + v[i][k] * v[j][k] / a[k][k]
                    }
                }
            }
        }
        return result
    }

    private static void rotate(double[][] a, double[][] v, int p, int q) {
        if (a[p][q] == 0.0d) {
            return
        }
        double theta = (a[q][q] - a[p][p]) / (2.0d * a[p][q])
        double t = (theta < 0.0d ? -1.0d : 1.0d) / (Math.abs(theta) + Math.sqrt(theta * theta + 1.0d))
        double c = 1.0d / Math.sqrt(t * t + 1.0d), s = t * c
        for (int k = 0; k < a.length; k++) {
            double x = a[k][p], y = a[k][q]
            a[k][p] = c * x - s * y
            a[k][q] = s * x + c * y
        }
        for (int k = 0; k < a.length; k++) {
            double x = a[p][k], y = a[q][k]
            a[p][k] = c * x - s * y
            a[q][k] = s * x + c * y
            x = v[k][p]
            y = v[k][q]
            v[k][p] = c * x - s * y
            v[k][q] = s * x + c * y
        }
    }
}
