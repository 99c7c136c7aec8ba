// The official TypeScript SDK as client, in each era. Usage: sdk.mjs ADDRESS, with the key in ODOO_API_KEY.
import assert from 'node:assert';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const headers = { Authorization: `Bearer ${process.env.ODOO_API_KEY}` };
for (const mode of ['legacy', 'auto']) {
    const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]), { requestInit: { headers } });
    const client = new Client({ name: 'ts', version: '1' }, { versionNegotiation: { mode } });
    await client.connect(transport);
    const { tools } = await client.listTools();
    assert.equal(tools.length, 16);
    const found = await client.callTool({ name: 'list_models', arguments: { search: 'partner' } });
    assert(found.structuredContent.models.some(({ model }) => model === 'res.partner'));
    const wrong = await client.callTool({ name: 'describe_model', arguments: { model: 'res.partnerr' } });
    assert(wrong.isError && wrong.content[0].text.startsWith('model: '), wrong.content[0].text);
    const { resources } = await client.listResources();
    for (const { uri } of resources) {
        assert((await client.readResource({ uri })).contents[0].text.length);
    }
    const { prompts } = await client.listPrompts();
    const prompt = await client.getPrompt({ name: prompts[0].name, arguments: { what: 'an order is confirmed' } });
    assert(prompt.messages.length);
    console.log(`${mode}: ${client.getNegotiatedProtocolVersion()}, ${tools.length} tools, ${resources.length} resources`);
    await client.close();
}
