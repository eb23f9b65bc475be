// A page as a function of data: `h` describes elements, `patch` makes the page
// equal to the description with few changes. Text is always text: nothing here
// reads markup, so data cannot become it.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "title", "polyline"]);

/**
 * @typedef {object} Node
 * @property {string} tag
 * @property {Record<string, any>} props
 * @property {(Node | string)[]} children
 * @property {any} key
 * @property {Element} [element]
 */

/** @param {any[]} list @param {(Node | string)[]} into */
function flatten(list, into) {
  for (const item of list) {
    if (item === null || item === undefined || item === false || item === true) continue;
    if (Array.isArray(item)) flatten(item, into);
    else if (typeof item === "object") into.push(item);
    else into.push(String(item));
  }
  return into;
}

/**
 * Describes an element. Props: `key`, `class`, `style` (an object), `onEVENT`,
 * `value`, `checked`, `disabled`, anything else an attribute; `mount(element)`
 * is called once, may return what to call at the end, and owns the children.
 * @param {string} tag
 * @param {Record<string, any> | null} [props]
 * @param {...any} children
 * @returns {Node}
 */
export function h(tag, props, ...children) {
  const own = props ?? {};
  return { tag, props: own, children: flatten(children, []), key: own.key };
}

/** @type {WeakMap<Element, Record<string, any>>} */
const handlers = new WeakMap();
/** @type {WeakMap<Element, () => void>} */
const endings = new WeakMap();

/** @param {Event} event */
function dispatch(event) {
  const element = /** @type {Element} */ (event.currentTarget);
  handlers.get(element)?.[event.type]?.(event);
}

/** @param {Element} element @param {string} name @param {any} value @param {any} before */
function setProp(element, name, value, before) {
  if (name === "key" || name === "mount" || value === before) return;
  if (name.startsWith("on")) {
    const type = name.slice(2);
    const own = handlers.get(element) ?? {};
    if (!(type in own)) element.addEventListener(type, dispatch);
    own[type] = value;
    handlers.set(element, own);
  } else if (name === "style") {
    const style = /** @type {HTMLElement} */ (element).style;
    for (const [property, one] of Object.entries(value ?? {})) {
      if (before?.[property] !== one) style.setProperty(property, String(one));
    }
  } else if (name === "value" || name === "checked" || name === "disabled" || name === "open") {
    // @ts-ignore these are properties of the elements that have them
    if (element[name] !== value) element[name] = value;
  } else if (value === null || value === undefined || value === false) {
    element.removeAttribute(name);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {Node} node */
function create(node) {
  const element = SVG_TAGS.has(node.tag)
    ? document.createElementNS(SVG, node.tag)
    : document.createElement(node.tag);
  node.element = element;
  // A select has its value only when it has its options.
  patch(element, node.children);
  for (const [name, value] of Object.entries(node.props)) setProp(element, name, value, undefined);
  if (node.props.mount) {
    const end = node.props.mount(element);
    if (typeof end === "function") endings.set(element, end);
  }
  return element;
}

/** @param {Node} before @param {Node} after */
function update(before, after) {
  const element = /** @type {Element} */ (before.element);
  after.element = element;
  if (before === after) return;
  if (!after.props.mount) patch(element, after.children);
  for (const name of Object.keys(before.props)) {
    if (!(name in after.props)) setProp(element, name, undefined, before.props[name]);
  }
  for (const [name, value] of Object.entries(after.props)) {
    setProp(element, name, value, before.props[name]);
  }
}

/** @param {globalThis.Node} child */
function remove(child) {
  if (child instanceof Element) finish(child);
  child.parentNode?.removeChild(child);
}

/** @param {Element} element */
function finish(element) {
  endings.get(element)?.();
  endings.delete(element);
  for (const child of element.children) finish(child);
}

/** @type {WeakMap<Element, Shown[]>} */
const shown = new WeakMap();

/** @param {Node | string} node @param {Map<any, number>} counts */
function identity(node, counts) {
  if (typeof node === "string") return "#text";
  if (node.key !== undefined) return `k:${node.tag}:${node.key}`;
  const number = counts.get(node.tag) ?? 0;
  counts.set(node.tag, number + 1);
  return `n:${node.tag}:${number}`;
}

/** @typedef {{child: globalThis.Node, node: Node | string}} Shown */

/** Whether one can become the other in its place. @param {Node | string} a @param {Node | string} b */
function isSame(a, b) {
  if (typeof a === "string" || typeof b === "string") return typeof a === typeof b;
  return a.tag === b.tag && a.key === b.key;
}

/** @param {Shown} entry @param {Node | string} node @returns {Shown} */
function become(entry, node) {
  if (typeof node !== "string") update(/** @type {Node} */ (entry.node), node);
  else if (entry.node !== node) entry.child.nodeValue = node;
  return { child: entry.child, node };
}

/** @param {Node | string} node @returns {Shown} */
const fresh = (node) => ({ child: typeof node === "string" ? document.createTextNode(node) : create(node), node });

/** Matches what moved, by key. @param {Shown[]} before @param {(Node | string)[]} nodes @returns {Shown[]} */
function match(before, nodes) {
  /** @type {Map<string, Shown[]>} */
  const pool = new Map();
  const oldCounts = new Map();
  for (const entry of before) {
    const id = identity(entry.node, oldCounts);
    const list = pool.get(id);
    if (list) list.push(entry);
    else pool.set(id, [entry]);
  }
  const counts = new Map();
  const after = nodes.map((node) => {
    const entry = pool.get(identity(node, counts))?.shift();
    return entry ? become(entry, node) : fresh(node);
  });
  for (const list of pool.values()) for (const entry of list) remove(entry.child);
  return after;
}

/**
 * Makes the children of `parent` equal to `nodes`.
 * @param {Element} parent
 * @param {(Node | string)[]} nodes
 */
export function patch(parent, nodes) {
  const before = shown.get(parent) ?? [];
  const least = Math.min(before.length, nodes.length);
  // Most lists change in their middle only, or not at all.
  let head = 0;
  while (head < least && isSame(before[head].node, nodes[head])) head += 1;
  let tail = 0;
  while (tail < least - head && isSame(before[before.length - 1 - tail].node, nodes[nodes.length - 1 - tail])) tail += 1;
  /** @type {Shown[]} */
  const after = [];
  for (let at = 0; at < head; at += 1) after.push(become(before[at], nodes[at]));
  const anchor = tail ? before[before.length - tail].child : null;
  if (head + tail < before.length || head + tail < nodes.length) {
    const middle = match(before.slice(head, before.length - tail), nodes.slice(head, nodes.length - tail));
    let place = head ? after[head - 1].child.nextSibling : parent.firstChild;
    for (const entry of middle) {
      if (entry.child === place) place = place.nextSibling;
      else parent.insertBefore(entry.child, place ?? anchor);
      after.push(entry);
    }
  }
  for (let at = tail; at > 0; at -= 1) after.push(become(before[before.length - at], nodes[nodes.length - at]));
  shown.set(parent, after);
}

/**
 * Describes again only when an argument is another one.
 * @template {any[]} A
 * @template T
 * @param {(...args: A) => T} describe
 * @returns {(...args: A) => T}
 */
export function once(describe) {
  /** @type {A | undefined} */
  let last;
  /** @type {T} */
  let result;
  return (...args) => {
    if (!last || last.length !== args.length || args.some((arg, at) => arg !== /** @type {A} */ (last)[at])) {
      result = describe(...args);
      last = args;
    }
    return result;
  };
}
