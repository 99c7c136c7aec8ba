// Verifies one webhook with the Standard Webhooks library: reads {secret, headers, body} from standard input.
const { Webhook } = require("standardwebhooks");
const { secret, headers, body } = JSON.parse(require("fs").readFileSync(0, "utf8"));
new Webhook(secret).verify(body, headers);
process.stdout.write("verified");
