package org.quietframe

import groovy.transform.CompileStatic

/** Normal, Poisson and F distributions, as far as ramps need them; relative errors below 1e-10. */
@CompileStatic
class NdrChances {

    private static final int MOST_TERMS = 200_000

    /** Chance that a standard normal variable is below -z, for z >= 0 exact in its far tail. */
    static double normalTail(double z) {
        if (z < 0.0d) {
            return 1.0d - normalTail(-z)
        }
        return 0.5d * gammaUpper(0.5d, 0.5d * z * z)
    }

    /** The z >= 0 that a standard normal variable exceeds with this chance, 0 < chance <= 0.5. */
    static double normalQuantile(double chance) {
        if (chance >= 0.5d) {
            return chance == 0.5d ? 0.0d : -normalQuantile(1.0d - chance)
        }
        double z = Math.sqrt(Math.max(-2.0d * Math.log(2.0d * chance), 1e-8d))
        double wanted = Math.log(chance)
        for (int i = 0; i < 50; i++) {
            double tail = normalTail(z)
            double density = Math.exp(-0.5d * z * z) / Math.sqrt(2.0d * Math.PI)
            double step = (Math.log(tail) - wanted) * tail / density
            z = Math.max(z + step, 0.0d)
            if (Math.abs(step) < 1e-14d * Math.max(z, 1.0d)) {
                break
            }
        }
        return z
    }

    /** The count (not only whole ones, never below 0) that Poisson photons of this mean exceed with this chance. */
    static double poissonQuantile(double chance, double mean) {
        if (gammaLower(1.0d, mean) <= chance) {
            return 0.0d
        }
        double z = normalQuantile(chance)
        double guess = Math.max(mean + z * Math.sqrt(mean) + (z * z - 1.0d) / 6.0d - 0.5d, 0.0d)
        if (mean > 1e6d) {
            return guess // relative to the spread this is right to 1e-6
        }
        double wanted = Math.log(chance)
        double before = guess + 0.01d * Math.sqrt(mean + 1.0d) + 0.01d
        double valueBefore = Math.log(gammaLower(before + 1.0d, mean)) - wanted
        double here = guess
        for (int i = 0; i < 60; i++) {
            double value = Math.log(gammaLower(here + 1.0d, mean)) - wanted
            if (value == valueBefore) {
                break
            }
            double next = Math.max(here - value * (here - before) / (value - valueBefore), 0.0d)
            before = here
            valueBefore = value
            here = next
            if (Math.abs(here - before) < 1e-12d * (1.0d + here)) {
                break
            }
        }
        return here
    }

    /** The value that an F variable with these degrees of freedom exceeds with this chance. */
    static double fQuantile(double chance, int above, int below) {
        double low = 0.0d, high = 1.0d
        while (fTail(high, above, below) > chance && high < 1e300d) {
            high *= 2.0d
        }
        for (int i = 0; i < 200; i++) {
            double middle = 0.5d * (low + high)
            if (fTail(middle, above, below) > chance) {
                low = middle
            } else {
                high = middle
            }
        }
        return 0.5d * (low + high)
    }

    private static double fTail(double value, int above, int below) {
        double x = below / (below + above * value)
        return betaLower(0.5d * below, 0.5d * above, x)
    }

    /** Regularised incomplete beta function, by its continued fraction. */
    private static double betaLower(double a, double b, double x) {
        if (x <= 0.0d || x >= 1.0d) {
            return x <= 0.0d ? 0.0d : 1.0d
        }
        if (x > (a + 1.0d) / (a + b + 2.0d)) {
            return 1.0d - betaLower(b, a, 1.0d - x)
        }
        double front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a
        double tiny = 1e-300d, c = 1.0d, d = 1.0d - (a + b) * x / (a + 1.0d)
        d = 1.0d / (Math.abs(d) < tiny ? tiny : d)
        double result = d
        for (int m = 1; m < 1000; m++) {
            double even = m * (b - m) * x / ((a + 2 * m - 1.0d) * (a + 2 * m))
            double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0d))
            double change = 1.0d
            for (int half = 0; half < 2; half++) {
                double term = half == 0 ? even : odd
                d = 1.0d + term * d
                d = 1.0d / (Math.abs(d) < tiny ? tiny : d)
                c = 1.0d + term / c
                c = Math.abs(c) < tiny ? tiny : c
                change = c * d
                result *= change
            }
            if (Math.abs(change - 1.0d) < 1e-15d) {
                break
            }
        }
        return front * result
    }

    /** Regularised lower incomplete gamma function P(a, x). */
    static double gammaLower(double a, double x) {
        if (x <= 0.0d) {
            return 0.0d
        }
        return x < a + 1.0d ? gammaSeries(a, x) : 1.0d - gammaFraction(a, x)
    }

    /** Regularised upper incomplete gamma function Q(a, x). */
    static double gammaUpper(double a, double x) {
        if (x <= 0.0d) {
            return 1.0d
        }
        return x < a + 1.0d ? 1.0d - gammaSeries(a, x) : gammaFraction(a, x)
    }

    private static double gammaSeries(double a, double x) {
        double term = 1.0d / a, sum = term
        for (int i = 1; i < MOST_TERMS; i++) {
            term *= x / (a + i)
            sum += term
            if (term < sum * 1e-17d) {
                break
            }
        }
        return sum * Math.exp(a * Math.log(x) - x - logGamma(a))
    }

    private static double gammaFraction(double a, double x) {
        double tiny = 1e-300d, b = x + 1.0d - a, c = 1.0d / tiny, d = 1.0d / b, result = d
        for (int i = 1; i < MOST_TERMS; i++) {
            double term = -i * (i - a)
            b += 2.0d
            d = term * d + b
            d = 1.0d / (Math.abs(d) < tiny ? tiny : d)
            c = b + term / c
            c = Math.abs(c) < tiny ? tiny : c
            double change = d * c
            result *= change
            if (Math.abs(change - 1.0d) < 1e-16d) {
                break
            }
        }
        return result * Math.exp(a * Math.log(x) - x - logGamma(a))
    }

    /** Logarithm of the gamma function for a > 0: Stirling's series, after stepping up to where it is exact. */
    static double logGamma(double a) {
        double shift = 0.0d, x = a
        while (x < 12.0d) {
            shift += Math.log(x)
            x += 1.0d
        }
        double inverse = 1.0d / x, square = inverse * inverse
        double series = inverse * (1.0d / 12.0d - square * (1.0d / 360.0d - square * (1.0d / 1260.0d - square * (1.0d / 1680.0d
            - square * (1.0d / 1188.0d - square * 691.0d / 360360.0d)))))
        return (x - 0.5d) * Math.log(x) - x + 0.5d * Math.log(2.0d * Math.PI) + series - shift
    }
}
