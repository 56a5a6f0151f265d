"""One question about one image with OpenAI's Python package: ask.py IMAGE QUESTION

BASE_URL, MODEL and API_KEY say where and as whom.
"""

import base64
import os
import sys
from pathlib import Path

from openai import OpenAI

image, question = sys.argv[1:]
client = OpenAI(
    base_url=os.environ.get("BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key=os.environ.get("API_KEY", "none"),
)
url = "data:image/png;base64," + base64.b64encode(Path(image).read_bytes()).decode()
request = {
    "model": os.environ.get("MODEL", "micro"),
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": question},
            ],
        }
    ],
    "seed": 0,
    # What OpenAI's API does not know goes here; without it the server looks as its operator has chosen.
    "extra_body": {"visionthink": {"mode": "adaptive"}},
}

completion = client.chat.completions.create(**request)
print("answer:", completion.choices[0].message.content)
# The object that OpenAI's replies do not have: how each sample was looked at, and what it cost.
print("decision:", completion.visionthink["samples"][0]["decision"])

pieces = []
for chunk in client.chat.completions.create(**request, stream=True):
    if chunk.choices and chunk.choices[0].delta.content:
        pieces.append(chunk.choices[0].delta.content)
print("streamed:", "".join(pieces))
