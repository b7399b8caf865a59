"""The rules of the spike, written as their papers write them, and the shape of each state."""

import numpy as np

sqrt, maximum, minimum, select, mean = np.sqrt, np.maximum, np.minimum, np.where, np.mean


def lerp(a, b, weight):
    return a + weight * (b - a)


def row_mean(x):
    return np.mean(x, -1, keepdims=True)


def col_mean(x):
    return np.mean(x, -2, keepdims=True)


def row_max(x):
    return np.max(x, -1, keepdims=True)


def col_max(x):
    return np.max(x, -2, keepdims=True)


def lamb(g, p, m, v, rate1, rate2, debias1, root_debias2, eps, decay):
    m = lerp(m, g, rate1)
    v = lerp(v, g * g, rate2)
    u = debias1 * m / (root_debias2 * sqrt(v) + eps) + decay * p
    pp = mean(p * p)
    uu = mean(u * u)
    return select(minimum(pp, uu) > 0, sqrt(pp) / sqrt(uu), 1) * u, m, v


def adafactor(g, p, r, c, rate, eps1, eps2, bound):
    s = g * g + eps1
    r = lerp(r, row_mean(s), rate)
    c = lerp(c, col_mean(s), rate)
    a = sqrt(col_mean(r)) / sqrt(r)
    b = 1 / sqrt(c)
    u = g * a * b
    u = u / maximum(1, sqrt(mean(u * u)) / bound)
    return maximum(eps2, sqrt(mean(p * p))) * u, r, c


def came(g, p, m, r, c, x, y, rate1, rate2, rate3, eps1, eps2, bound):
    s = g * g + eps1
    r = lerp(r, row_mean(s), rate2)
    c = lerp(c, col_mean(s), rate2)
    a = sqrt(col_mean(r)) / sqrt(r)
    b = 1 / sqrt(c)
    u = g * a * b
    u = u / maximum(1, sqrt(mean(u * u)) / bound)
    m = lerp(m, u, rate1)
    d = (u - m) * (u - m) + eps2
    x = lerp(x, row_mean(d), rate3)
    y = lerp(y, col_mean(d), rate3)
    a = sqrt(col_mean(x)) / sqrt(x)
    b = 1 / sqrt(y)
    return m * a * b, m, r, c, x, y


def sm3(g, p, r, c, tiny):
    v = minimum(r, c) + g * g
    return g / sqrt(v + tiny), row_max(v), col_max(v)


def adam_mini(g, p, m, v, rate1, rate2, debias1, root_debias2, eps):
    m = lerp(m, g, rate1)
    v = lerp(v, row_mean(g * g), rate2)
    return debias1 * m / (root_debias2 * sqrt(v) + eps), m, v


def amos(g, p, v, b, xi, eta, rate, debias, c_coef, d_coef, tiny):
    q = mean(g * g)
    v = lerp(v, q, rate)
    w = debias / maximum(v, tiny)
    gamma = xi * xi * w * q / sqrt(1 + c_coef * sqrt(xi) * b)
    shrink = 1 / (1 + d_coef * sqrt(xi * eta) * b)
    return shrink * (xi * eta * sqrt(w) * g + gamma / 2 * p), v, b + gamma * (1 + b)


RULES = {
    lamb: {"m": "element", "v": "element"},
    adafactor: {"r": "row", "c": "col"},
    came: {"m": "element", "r": "row", "c": "col", "x": "row", "y": "col"},
    sm3: {"r": "row", "c": "col"},
    adam_mini: {"m": "element", "v": "row"},
    amos: {"v": "tensor", "b": "tensor"},
}
