//! The prompt strings of the method, character by character.
//!
//! Source: VisionThink, `verl/trainer/constants.py`, `verl/utils/dataset/multimodal_dataset.py` and the rollout worker,
//! commit 42afd8c; the two ablation prompts are Table 10 of arXiv 2507.13348. Spelling mistakes are theirs: released
//! checkpoints were trained on these characters.

/// System prompt without instructions.
pub const SYSTEM_SHORT: &str = "You are a helpful assistant.";

/// System prompt of the general recipe: think, then answer.
pub const SYSTEM_GENERAL: &str = r"You FIRST think about the reasoning process as an internal monologue and then provide the final answer.
The reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put within <answer> </answer> tags. For mathematical or multiple-choice problem, wrap the answer value or choice with \boxed{}.";

/// System prompt that offers `resize_image`.
///
/// The line break after `available actions are:` is real, which makes the schema invalid JSON; the released checkpoints
/// saw it so. See [`crate::Profile::with_valid_schema`].
pub const SYSTEM_TOOL: &str = r#"You are a helpful assistant.

# Tools

You may call the function tool shown below to assist with the user query.

You are provided with the function signature within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name_for_human": "resize_image", "name": "resize_image", "description": "Resize the image resolution.", "parameters": {"properties": {"action": {"description": "The action to perform. The available actions are:
* `resize`: Double the resolution of the current image. You should only use this tool if you are unable to obtain the critical information needed to answer the question from the current resolution.", "enum": ["resize"], "type": "string"}}, "required": ["action"], "type": "object"}, "args_format": "Format the arguments as a JSON object."}}
</tools>
For each function call, return a json object with the function name and the corresponding argument within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"#;

/// User template that adds nothing.
pub const USER_PLAIN: &str = "{Question}";

/// User template that asks for tags after the question.
pub const USER_VANILLA: &str = r"{Question}
Output the thinking process within <think> </think> tags and final answer within <answer> </answer> tags. The final answer should contain \boxed{}.";

/// User template of the tool recipe.
pub const USER_TOOL: &str = r"Answer the question based on the image provided. You must conduct reasoning within <think> and </think> first in each of your reasoning steps. You may call ONE function tool per step to help you better solve the problem. Place the function tool within <tool_call> and </tool_call> at the end of each step to perform a function call. You should continue your reasoning process based on the content returned by the function tool. Once you confirm your final answer, place the final answer inside <answer> and </answer>. For mathematical or multiple-choice problem, wrap the answer value or choice with \boxed{}. Here is the image and question:
{Question}";

/// The turn that returns the full image, `{images}` standing for the images, a line break behind each.
pub const TURN_RESIZED: &str = r"<|im_start|>user
<tool_response>
The resized image is shown below:
{images}</tool_response>
Please carefully analyze the content returned from the image resize tool in combination with the original question and image from the user, continue your reasoning process inside <think> and </think> and then write your final answer inside <answer> and </answer>.<|im_end|>
<|im_start|>assistant
";

/// The turn after a malformed call, in training.
pub const TURN_ERROR: &str = r"<|im_start|>user
<tool_response>
ERROR occurs during the function tool call. Error Information: {error}.
</tool_response>
Please analyze the error information obtained from the function tool and adjust your response. Countinue your reasoning process inside <think> and </think>.<|im_end|>
<|im_start|>assistant
";

/// The turn after a malformed call, in the evaluation script.
pub const TURN_ERROR_EVALUATION: &str = r"<|im_start|>user
{error}Please analyze the error information obtained from the function tool and adjust your response. Countinue your reasoning process inside <think> and </think>.<|im_end|>
<|im_start|>assistant
";

/// User template of the ablation "Simple Resize".
pub const USER_SIMPLE_RESIZE: &str = "Answer the user’s question based on the image provided. You can place <resize></resize> at the end of your response to call the image resize tool, it will return the resized image with its resolution doubled to help you better answer the question. Once you confirm your final answer, place the final answer inside <answer> and </answer>. Here is the image and question: {Question}";

/// System prompt of the ablation "Simple Think Resize".
pub const SYSTEM_SIMPLE_THINK_RESIZE: &str = "You are a helpful assistant. Answer the user’s question based on the image provided. You can place <resize> at the end of your response to call the image resize tool, it will return the resized image with its resolution doubled to help you better answer the question. Once you confirm your final answer, place the final answer inside <answer> and </answer>.";

/// User template of the ablation "Simple Think Resize".
pub const USER_SIMPLE_THINK_RESIZE: &str = "Enclose reasoning in <think></think> {Question}";

/// System prompt that offers the tool to the embedded model: its name is all it needs.
pub const SYSTEM_COMPACT: &str = "resize_image";

/// The turn that returns the full image to the embedded model.
pub const TURN_RESIZED_COMPACT: &str =
    "<|im_start|>user\n<tool_response>{images}</tool_response><|im_end|>\n<|im_start|>assistant\n";

/// The turn after a malformed call of the embedded model, which has no use for the reason.
pub const TURN_ERROR_COMPACT: &str =
    "<|im_start|>user\n<tool_response>error</tool_response><|im_end|>\n<|im_start|>assistant\n";
