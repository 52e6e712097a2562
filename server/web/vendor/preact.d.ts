// What the page uses of Preact, for the type checker.
export type Child = VNode | string | number | boolean | null | undefined | Child[];
export interface VNode { readonly type: unknown }
export abstract class Component<Props = {}, State = {}> {
  constructor(props: Props);
  readonly props: Readonly<Props>;
  state: Readonly<State>;
  setState(change: Partial<State>, done?: () => void): void;
  forceUpdate(): void;
  componentDidMount(): void;
  componentDidUpdate(before: Readonly<Props>, beforeState: Readonly<State>): void;
  componentWillUnmount(): void;
  shouldComponentUpdate?(next: Readonly<Props>, nextState: Readonly<State>): boolean;
  abstract render(): Child;
}
type Attributes = Record<string, unknown> | null;
export function h<Props>(of: (new (props: Props) => Component<Props, any>) | ((props: Props) => Child), props: Props & { key?: unknown, ref?: unknown }, ...children: Child[]): VNode;
export function h(of: string, props: Attributes, ...children: Child[]): VNode;
export function createRef(): { current: any };
export function render(node: Child, into: Element): void;
export const Fragment: (props: { children?: Child }) => Child;
export const options: { vnode?: (vnode: { type: any, props: any, ref: any }) => void };
