// What the page uses of Preact, for the type checker.
export type Child = VNode | string | number | boolean | null | undefined | Child[];
export interface VNode { readonly type: unknown }
export abstract class Component<Props = {}, State = {}> {
  constructor(props: Props);
  readonly props: Readonly<Props>;
  state: Readonly<State>;
  setState(change: Partial<State>, done?: () => void): void;
  componentDidMount(): void;
  componentDidUpdate(): void;
  abstract render(): Child;
}
type Attributes = Record<string, unknown> | null;
export function h<Props>(of: (new (props: Props) => Component<Props, any>) | ((props: Props) => VNode), props: Props & { key?: unknown }, ...children: Child[]): VNode;
export function h(of: string, props: Attributes, ...children: Child[]): VNode;
export function createRef(): { current: any };
export function render(node: Child, into: Element): void;
