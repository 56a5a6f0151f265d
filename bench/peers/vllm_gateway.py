"""Puts `visionthink serve` in front of a real vLLM and asks both kinds of question through it.

    vllm_gateway.py PROGRAM CHECKPOINT FOLDER [QUESTIONS]

PROGRAM is the `visionthink` binary, CHECKPOINT a folder that both can read (with `chat_template.jinja`), FOLDER is where
pictures, run files and logs go, QUESTIONS how many are asked of each family of the synthetic world (default 20).

Runs under the interpreter of an environment that has vLLM; vLLM runs on the CPU. For each mode it prints accuracy, the share
of calls, visual tokens, prompt tokens and wall-clock, and it checks that

- every request is answered, and a transcript of low resolution, call, full resolution is among the adaptive ones;
- the tokens that the gateway reports are the tokens that vLLM counted itself, mode by mode;
- token ids came through;
- the official `openai` client gets the same answers, streamed and whole;
- the embedded engine gives the same decisions and answers to the same questions;
- `generate --engine` gives the ids of prompts and completions that `generate` gives, and log-probabilities as near as f32 has them.

Writes `FOLDER/vllm_gateway.json`; exit code 0 only if all checks hold.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VLLM_PORT = 8765
GATEWAY_PORT = 8766
MODEL = "visionthink"
# As many as vLLM runs in a batch below.
CLIENTS = 8
START_SECONDS = 600
# Two programs sum in another order, so a near tie may fall the other way: this share has to agree.
AGREEMENT = 0.95
# Of log-probabilities, both in f32.
LOGPROBS = 1e-4

GATEWAY = """
model = "{model}"
profile = "compact"
mode = "adaptive"
processor = "{checkpoint}"
[server]
listen = "127.0.0.1:{port}"
max_connections = 64
max_requests = 64
max_held_bytes = 67108864
header_timeout_secs = 30
body_timeout_secs = 60
request_timeout_secs = 600
stall_timeout_secs = 60
drain_timeout_secs = 30
[limits]
max_body_bytes = 8388608
max_images = 4
[images]
folders = []
fetch = false
allow_networks = []
[pool]
failures = 5
cool_down_secs = 5
idle_timeout_secs = 120
health_interval_secs = 10
max_waiting = 64
wait_timeout_secs = 60
[[upstream]]
url = "http://127.0.0.1:{upstream}/v1"
max_requests = 64
token_ids = true
"""


def main() -> int:
    if len(sys.argv) not in (4, 5):
        print(__doc__, file=sys.stderr)
        return 2
    program, checkpoint, folder = (Path(argument).resolve() for argument in sys.argv[1:4])
    count = int(sys.argv[4]) if len(sys.argv) == 5 else 20
    folder.mkdir(parents=True, exist_ok=True)
    questions = draw(program, folder, count)

    started = []
    try:
        started.append(start_vllm(checkpoint, folder / "vllm.log"))
        wait(f"http://127.0.0.1:{VLLM_PORT}/health", started[-1], folder / "vllm.log")
        started.append(start_gateway(program, checkpoint, folder))
        wait(f"http://127.0.0.1:{GATEWAY_PORT}/ready", started[-1], folder / "gateway.log")
        report = measure(questions)
        report["embedded"] = embedded(program, checkpoint, questions, report["modes"]["adaptive"]["answers"])
        report["generate"] = generate(program, checkpoint, folder, questions)
        report["openai"] = openai_client(questions[: min(len(questions), 12)])
    finally:
        for process in reversed(started):
            stop(process)

    (folder / "vllm_gateway.json").write_text(json.dumps(report, indent=1) + "\n")
    return show(report)


def draw(program: Path, folder: Path, count: int) -> list[dict]:
    world = folder / f"questions-{count}"
    if not world.exists():
        subprocess.run(
            [program, "synth", "--out", world, "--split", "test", "--n", str(count), "--seed", "11"],
            check=True, stdout=subprocess.DEVNULL,
        )
    rows = [json.loads(line) for line in (world / "test.jsonl").read_text().splitlines()]
    for row in rows:
        row["file"] = str(world / row["image"])
        row["url"] = "data:image/png;base64," + base64.b64encode(Path(row["file"]).read_bytes()).decode()
    return rows


def start_vllm(checkpoint: Path, log: Path) -> subprocess.Popen:
    environment = os.environ | {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server",
        "--model", checkpoint, "--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(VLLM_PORT),
        "--dtype", "float32", "--max-model-len", "4096", "--max-num-seqs", str(CLIENTS), "--enforce-eager",
        "--limit-mm-per-prompt", '{"image":2}',
    ]  # fmt: skip
    # A group of its own: vLLM's engine is a child that has to end with it.
    return subprocess.Popen(command, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True)


def start_gateway(program: Path, checkpoint: Path, folder: Path) -> subprocess.Popen:
    config = folder / "serve.toml"
    config.write_text(GATEWAY.format(model=MODEL, checkpoint=checkpoint, port=GATEWAY_PORT, upstream=VLLM_PORT))
    log = (folder / "gateway.log").open("w")
    return subprocess.Popen([program, "serve", "--config", config], stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def wait(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise SystemExit(f"{url} did not answer; see {log}")


def stop(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=30)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def ask(question: dict, mode: str) -> dict:
    body = {
        "model": MODEL, "temperature": 0, "max_tokens": 64, "messages": [message(question)],
        "visionthink": {"mode": mode, "show_turns": True},
    }  # fmt: skip
    request = urllib.request.Request(
        f"http://127.0.0.1:{GATEWAY_PORT}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as response:
        return json.load(response)


def message(question: dict) -> dict:
    image = {"type": "image_url", "image_url": {"url": question["url"]}}
    return {"role": "user", "content": [image, {"type": "text", "text": question["question"]}]}


def measure(questions: list[dict]) -> dict:
    for mode in ("low", "full"):
        ask(questions[0], mode)
    modes = {}
    for mode in ("adaptive", "full", "low"):
        before = counted()
        start = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as pool:
            replies = list(pool.map(lambda question: ask(question, mode), questions))
        seconds = time.perf_counter() - start
        after = counted()
        samples = [reply["visionthink"]["samples"][0] for reply in replies]
        right = [reply["choices"][0]["message"]["content"] == row["answer"] for reply, row in zip(replies, questions)]
        modes[mode] = {
            "questions": len(questions),
            "seconds": seconds,
            "right": sum(right),
            "calls": sum(sample["decision"] == "resize" for sample in samples),
            "calls_where_needed": sum(s["decision"] == "resize" and r["needs_full"] for s, r in zip(samples, questions)),
            "needed": sum(row["needs_full"] for row in questions),
            "visual_tokens": sum(sample["image_tokens"] for sample in samples),
            "prompt_tokens": sum(reply["usage"]["prompt_tokens"] for reply in replies),
            "completion_tokens": sum(reply["usage"]["completion_tokens"] for reply in replies),
            "vllm_prompt_tokens": after["prompt"] - before["prompt"],
            "vllm_completion_tokens": after["generation"] - before["generation"],
            "views": [sample["views"] for sample in samples],
            "token_ids": all(turn.get("token_ids") for sample in samples for turn in sample["transcript"]),
            "answers": [
                {"decision": s["decision"], "answer": r["choices"][0]["message"]["content"]} for s, r in zip(samples, replies)
            ],
        }
    return {"modes": modes}


def counted() -> dict[str, int]:
    """vLLM's own counters of prompt and generated tokens."""
    with urllib.request.urlopen(f"http://127.0.0.1:{VLLM_PORT}/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    totals = {}
    for kind in ("prompt", "generation"):
        values = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"vllm:{kind}_tokens_total")]
        totals[kind] = round(sum(map(float, values)))
    return totals


def embedded(program: Path, checkpoint: Path, questions: list[dict], theirs: list[dict]) -> dict:
    """The same questions in the embedded engine, one process each."""
    same = 0
    for row, other in zip(questions, theirs):
        command = [program, "ask", "--model", checkpoint, "--image", row["file"], "--max-tokens", "64", "--json", row["question"]]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        same += answer["decision"] == other["decision"] and answer["answer"] == other["answer"]
    return {"questions": len(questions), "same": same}


def generate(program: Path, checkpoint: Path, folder: Path, questions: list[dict]) -> dict:
    """The same completions here and there, token by token."""
    requests = folder / "requests.jsonl"
    requests.write_text("".join(json.dumps({"messages": [message(row)]}) + "\n" for row in questions))
    found = []
    for engine in (["--model", checkpoint], ["--engine", f"http://127.0.0.1:{VLLM_PORT}/v1"]):
        command = [program, "generate", "--input", requests, "--max-tokens", "64", *engine]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        rows = [json.loads(line) for line in lines]
        found.append({row["id"]: row for row in rows})
    here, there = found
    same = [key for key in here if all(here[key][ids] == there[key][ids] for ids in ("prompt_ids", "completion_ids"))]
    differences = [abs(one - other) for key in same for one, other in zip(here[key]["logprobs"], there[key]["logprobs"], strict=True)]
    return {"questions": len(questions), "same": len(same), "logprob_difference": max(differences)}


def openai_client(questions: list[dict]) -> dict:
    """Whole and streamed through the official package."""
    from openai import OpenAI

    client = OpenAI(base_url=f"http://127.0.0.1:{GATEWAY_PORT}/v1", api_key="none")
    same = 0
    for row in questions:
        arguments = {"model": MODEL, "messages": [message(row)], "temperature": 0, "max_tokens": 64}
        whole = client.chat.completions.create(**arguments).choices[0].message.content
        pieces = client.chat.completions.create(**arguments, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)
        same += whole == streamed and whole is not None
    return {"questions": len(questions), "same": same}


def show(report: dict) -> int:
    print(f"{'':10}{'right':>8}{'calls':>8}{'visual':>9}{'prompt':>9}{'generated':>11}{'seconds':>9}")
    for name, mode in report["modes"].items():
        print(
            f"{name:10}{mode['right'] / mode['questions']:8.3f}{mode['calls'] / mode['questions']:8.3f}"
            f"{mode['visual_tokens']:9}{mode['prompt_tokens']:9}{mode['completion_tokens']:11}{mode['seconds']:9.1f}"
        )
    adaptive = report["modes"]["adaptive"]
    print(f"calls where the full image is needed: {adaptive['calls_where_needed']} of {adaptive['needed']}\n")
    checks = [
        ("a transcript of low, call, full", ["low", "full"] in adaptive["views"], f"{adaptive['views'].count(['low', 'full'])}"),
        ("an answer from the low image alone", ["low"] in adaptive["views"], f"{adaptive['views'].count(['low'])}"),
    ]
    for name, mode in report["modes"].items():
        ours = (mode["prompt_tokens"], mode["completion_tokens"])
        vllm = (mode["vllm_prompt_tokens"], mode["vllm_completion_tokens"])
        checks.append((f"tokens of `{name}` are vLLM's", ours == vllm, f"{ours} and {vllm}"))
        checks.append((f"token ids of `{name}` came through", mode["token_ids"], ""))
    same = report["embedded"]
    checks.append(("the embedded engine agrees", same["same"] >= AGREEMENT * same["questions"], f"{same['same']} of {same['questions']}"))
    same = report["generate"]
    held = same["same"] >= AGREEMENT * same["questions"] and same["logprob_difference"] <= LOGPROBS
    detail = f"{same['same']} of {same['questions']}, log-probabilities differ by up to {same['logprob_difference']:.1e}"
    checks.append(("`generate --engine` is `generate`, id by id", held, detail))
    same = report["openai"]
    checks.append(("the openai client, whole and streamed", same["same"] == same["questions"], f"{same['same']} of {same['questions']}"))
    for name, held, detail in checks:
        print(f"{'ok    ' if held else 'FAILED'} {name}: {detail}")
    return 0 if all(held for _, held, _ in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
