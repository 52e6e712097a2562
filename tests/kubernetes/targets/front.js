// JavaScript at work a third of the time, run with node --perf-basic-prof.
function layout(rows) {
  let sum = 0;
  for (let row = 0; row < rows; row++) sum = (sum * 31 + row) % 1000003;
  return sum;
}

function page() {
  layout(800000);
  setTimeout(page, 4);
}

page();
