// blake3.js against the published test inputs (byte i is i mod 251), with the
// digests that the reference implementation gives.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { derive, hash } from "../../../node/dashboard/blake3.js";

const CONTEXT = "BLAKE3 2019-12-27 16:29:52 test vectors context";
const vectors = JSON.parse(readFileSync(new URL("blake3.json", import.meta.url), "utf8"));
const hex = (bytes) => Buffer.from(bytes).toString("hex");

for (const [length, plain, derived] of vectors) {
  test(`${length} bytes`, () => {
    const bytes = Uint8Array.from({ length }, (_, i) => i % 251);
    assert.equal(hex(hash(bytes)), plain);
    assert.equal(hex(derive(CONTEXT, bytes)), derived);
  });
}

test("another byte or another context gives another digest", () => {
  const bytes = new Uint8Array(2000);
  const before = hex(derive(CONTEXT, bytes));
  assert.notEqual(hex(derive("another", bytes)), before);
  bytes[1999] = 1;
  assert.notEqual(hex(derive(CONTEXT, bytes)), before);
});
