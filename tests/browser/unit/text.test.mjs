// Amounts, JSON with long integers, and other pure text.

import assert from "node:assert/strict";
import { test } from "node:test";
import { factor, gft, ratio, signedGft, sum } from "../../../node/dashboard/amounts.js";
import { parse, parseByHand, print } from "../../../node/dashboard/json.js";
import { age, bytes, gaps, layers, routes, span } from "../../../node/dashboard/text.js";

const plain = (text) => text.replaceAll("\u202f", " ");

test("amounts have six decimals and all their digits", () => {
  assert.equal(gft(0), "0.000000");
  assert.equal(gft(1), "0.000001");
  assert.equal(gft(-725287), "−0.725287");
  assert.equal(plain(gft(999_999_274_713)), "999 999.274713");
  assert.equal(plain(gft(123_456_789_012_345_678_901_234n)), "123 456 789 012 345 678.901234");
  assert.equal(signedGft(5), "+0.000005");
  assert.equal(signedGft(0), "0.000000");
  assert.equal(gft(null), "0.000000");
});

test("sums and parts are exact where numbers are not", () => {
  assert.equal(sum([9_007_199_254_740_993n, 1, null]), 9_007_199_254_740_994n);
  assert.equal(ratio(1, 4), 0.25);
  assert.equal(ratio(5, 4), 1);
  assert.equal(ratio(1, 0), 0);
  assert.equal(factor(850_066), "0.850066");
});

for (const [name, read] of [["parse", parse], ["parseByHand", parseByHand]]) {
  test(`${name} keeps long integers and leaves the rest`, () => {
    const text = '{"a":9007199254740993,"b":-18446744073709551616,"c":1.1234567890123456789,' +
      '"d":"9007199254740993","e":[1,9007199254740991],"f":"say \\"12345678901234567890\\"","g":1e300}';
    const value = read(text);
    assert.equal(value.a, 9007199254740993n);
    assert.equal(value.b, -18446744073709551616n);
    assert.equal(value.c, 1.1234567890123457);
    assert.equal(value.d, "9007199254740993");
    assert.deepEqual(value.e, [1, 9007199254740991]);
    assert.equal(value.f, 'say "12345678901234567890"');
    assert.equal(value.g, 1e300);
    assert.throws(() => read('{"a":9007199254740993'), SyntaxError);
  });
}

test("what is printed has its integers back", () => {
  const text = '{"a":9007199254740993,"b":[1,"x"]}';
  assert.equal(print(parse(text)), text);
});

test("gaps are ranges, and routes the least coverage", () => {
  assert.deepEqual(gaps([1, 0, 0, 2, 0]), [[1, 3], [4, 5]]);
  assert.deepEqual(gaps([1, 1]), []);
  assert.equal(routes([2, 1, 3]), 1);
  assert.equal(routes([]), 0);
  assert.equal(layers([0, 2]), "0..2");
});

test("times and sizes choose their unit", () => {
  assert.equal(span(542), "542 µs");
  assert.equal(span(1240), "1.24 ms");
  assert.equal(span(310_000), "310 ms");
  assert.equal(span(2_100_000), "2.10 s");
  assert.equal(span(null), "–");
  assert.equal(age(59_999), "59 s");
  assert.equal(age(7_200_000), "2 h");
  assert.equal(bytes(2_360_832), "2.3 MiB");
});
