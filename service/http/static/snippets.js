// A request as text to copy: curl, Python, the openai package, JavaScript. The key is never a part of it.

import {hasKey} from "./keys.js";

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const limitOf = (name, value) => (name === "temperature" && value > 2 ? "  # /v1/completions accepts at most 2" : "");
const indented = (value) => JSON.stringify(value, null, 2);

const KINDS = {
  curl(base, body) {
    const key = hasKey() ? ` -H "Authorization: Bearer $CHARLOOM_KEY"` : "";
    return `curl -N ${base}generate${key} -H 'Content-Type: application/json' -H 'Accept: text/plain' -d ${shell(JSON.stringify(body))}`;
  },

  Python(base, {prompt, ...params}) {
    const key = hasKey() ? `, key=os.environ["CHARLOOM_KEY"]` : "";
    const named = Object.entries(params).map(([name, value]) => `, ${name}=${JSON.stringify(value)}`);
    return `${hasKey() ? "import os\n\n" : ""}from service.client import Client  # or copy service/client.py

client = Client("${base}"${key})
with client.stream(${JSON.stringify(prompt)}${named.join("")}) as stream:
    for character in stream:
        print(character.text, end="", flush=True)
`;
  },

  openai(base, {prompt, model, version, length, top_k: topK, ...params}) {
    const key = hasKey() ? `os.environ["CHARLOOM_KEY"]` : `"none"`;
    const named = Object.entries(params).map(([name, value]) => `    ${name}=${JSON.stringify(value)},${limitOf(name, value)}\n`);
    return `${hasKey() ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${base}v1", api_key=${key})
completion = client.completions.create(
    model="${model}${version ? `@${version}` : ""}",
    prompt=${JSON.stringify(prompt)},
    max_tokens=${length},
${named.join("")}${topK ? `    extra_body={"top_k": ${topK}},\n` : ""})
print(completion.choices[0].text)
`;
  },

  JavaScript(base, body) {
    const key = hasKey() ? `\n    Authorization: \`Bearer \${process.env.CHARLOOM_KEY}\`,` : "";
    return `const response = await fetch("${base}generate", {
  method: "POST",
  headers: {
    "Content-Type": "application/json",${key}
    Accept: "text/plain",
  },
  body: JSON.stringify(${indented(body).replaceAll("\n", "\n  ")}),
});
let text = "";
for await (const piece of response.body.pipeThrough(new TextDecoderStream())) text += piece;
console.log(text);
`;
  },
};

export const FORMS = Object.keys(KINDS);

export const snippet = (form, body) => KINDS[form](new URL(".", document.baseURI).href, body);
