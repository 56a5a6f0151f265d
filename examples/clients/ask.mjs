// One question about one image with OpenAI's JavaScript package: node ask.mjs IMAGE QUESTION
// BASE_URL, MODEL and API_KEY say where and as whom.

import { readFile } from "node:fs/promises";
import OpenAI from "openai";

const [image, question] = process.argv.slice(2);
const client = new OpenAI({
  baseURL: process.env.BASE_URL ?? "http://127.0.0.1:8080/v1",
  apiKey: process.env.API_KEY ?? "none",
});
const url = `data:image/png;base64,${await readFile(image, "base64")}`;
const request = {
  model: process.env.MODEL ?? "micro",
  messages: [
    {
      role: "user",
      content: [
        { type: "image_url", image_url: { url } },
        { type: "text", text: question },
      ],
    },
  ],
  seed: 0,
  // The package sends what OpenAI's API does not know as it is; TypeScript wants a cast here.
  visionthink: { mode: "adaptive" },
};

const completion = await client.chat.completions.create(request);
console.log("answer:", completion.choices[0].message.content);
console.log("decision:", completion.visionthink.samples[0].decision);

let streamed = "";
for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
console.log("streamed:", streamed);
