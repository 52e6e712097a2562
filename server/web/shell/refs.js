// @ts-check
// Preact 11 hands a component's `ref` to it as one of its properties. Here it gives the component, as an element's gives the element.

import { options } from "../vendor/preact.js";

options.vnode = vnode => {
  if (typeof vnode.type === "function" && vnode.type.prototype?.render && vnode.props.ref) vnode.ref = vnode.props.ref;
};
