/** What a CommonJS program does, a NestJS one for instance: it requires the built package, and calls. */
const { Balancer, BalancerAgent } = require("evenkeel");

async function main() {
  const { orders, outside } = JSON.parse(process.argv[2]);
  const agent = new BalancerAgent({ services: { orders: { discovery: orders } } });
  agent.install();
  const report = {
    node: process.version,
    get: await (await fetch("http://orders/v1")).text(),
    own: await (await agent.fetch("http://orders/v1")).text(),
    isBalancer: agent.balancer("orders") instanceof Balancer,
    outside: await (await fetch(`${outside}/v1`)).text(),
  };
  await agent.close();
  console.log(JSON.stringify(report));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
