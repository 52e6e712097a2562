// Known functions at known lines: `main` runs them until it is killed.
function leafWork(count) {
  let sum = 0; for (let i = 0; i < count; i++) sum += Math.sqrt(i) % 7;
  return sum;
}
class Cart { total(list) {
  let sum = 0; for (const count of list) sum += leafWork(count);
  return sum;
} }
function handle(cart) {
  return cart.total([20000, 30000, 40000]);
}
function main() {
  console.log("ready");
  for (let sum = 0; ; ) sum += handle(new Cart());
}
main();
