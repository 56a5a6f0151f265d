//! The judge's and the verifier's prompts, character by character, and how they are filled in.
//!
//! Source: VisionThink, commit 42afd8c: `general_qa_tool.py` (judge), `verifier.py` (verifier). Spelling mistakes are
//! theirs.

/// System prompt of the judge.
pub const JUDGE_SYSTEM: &str = "You are an intelligent chatbot designed for evaluating the correctness of generative outputs for question-answer pairs.
Your task is to compare the predicted answer with the correct answer and determine if they match meaningfully. Here's how you can accomplish the task:
------
##INSTRUCTIONS:
- Focus on the meaningful match between the predicted answer and the correct answer.
- Consider synonyms or paraphrases as valid matches.
- Evaluate the correctness of the prediction compared to the answer.";

/// What the judge is asked; `{question}`, `{ground_truth}` and `{prediction}` stand for the data.
pub const JUDGE_USER: &str = r#"I will give you a question related to an image and the following text as inputs:

1. **Question Related to the Image**: {question}
2. **Ground Truth Answer**: {ground_truth}
3. **Model Predicted Answer**: {prediction}

Your task is to evaluate the model's predicted answer against the ground truth answer, based on the context provided by the question related to the image. Consider the following criteria for evaluation:
- **Relevance**: Does the predicted answer directly address the question posed, considering the information provided by the given question?
- **Accuracy**: Compare the predicted answer to the ground truth answer. You need to evaluate from the following two perspectives:
(1) If the ground truth answer is open-ended, consider whether the prediction accurately reflects the information given in the ground truth without introducing factual inaccuracies. If it does, the prediction should be considered correct.
(2) If the ground truth answer is a definitive answer, strictly compare the model's prediction to the actual answer. Pay attention to unit conversions such as length and angle, etc. As long as the results are consistent, the model's prediction should be deemed correct.
**Output Format**:
Your response should include an integer score indicating the correctness of the prediction: 1 for correct and 0 for incorrect. Note that 1 means the model's prediction strictly aligns with the ground truth, while 0 means it does not.
The format should be "Score: 0 or 1""#;

/// System prompt of a verifier that thinks before it answers.
pub const VERIFIER_SYSTEM_QWEN3: &str = "You are an expert in verifying if two answers are the same.
Your input is a problem and two answers, Answer 1 (**Model Predicted Answer**) and Answer 2 (**Ground Truth Answer**).
Your need to evaluate the model's predicted answer against the ground truth answer.
Your task is to determine if two answers are equivalent, without attempting to solve the original problem.
Compare the answers to verify they represent identical values or meaning, even when written in different forms or notations.

Your output should be only: [[YES]] if the answers are equivalent, or [[NO]] if they are not.
";

/// System prompt of a verifier that explains itself in its answer.
pub const VERIFIER_SYSTEM_QWEN2_5: &str = "You are an expert in verifying if two answers are the same.
Your input is a problem and two answers, Answer 1 (**Model Predicted Answer**) and Answer 2 (**Ground Truth Answer**).
Your need to evaluate the model's predicted answer against the ground truth answer.
Your task is to determine if two answers are equivalent, without attempting to solve the original problem.
Compare the answers to verify they represent identical values or meaning, even when written in different forms or notations.

Your output must follow the following format:
1) Provide an explanation for why the answers are equivalent or not.
2) Then provide your final answer in the form of: [[YES]] or [[NO]]
";

/// What the verifier is asked, with the same three places.
pub const VERIFIER_USER: &str = "
Problem: {question}
Answer 1 (**Model Predicted Answer**): {prediction}
Answer 2 (**Ground Truth Answer**): {ground_truth}
";

/// How an image is written in a question; the verifier's question goes without it.
const IMAGE: &str = "<image>";

/// One thing to be judged. All three are data: nothing in them is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The question; for the judge the whole user message, as the reference has it.
    pub question: &'a str,
    /// The right answer.
    pub ground_truth: &'a str,
    /// The model's answer, see [`crate::AnswerReading`].
    pub prediction: &'a str,
}

impl Question<'_> {
    /// The user message for the judge; its system prompt is [`JUDGE_SYSTEM`].
    pub fn judge_prompt(&self) -> String {
        self.fill(JUDGE_USER, self.question)
    }

    /// The user message for the verifier; its system prompt is [`super::VerifierFamily::system_prompt`].
    pub fn verifier_prompt(&self) -> String {
        self.fill(VERIFIER_USER, &self.question.replace(IMAGE, ""))
    }

    /// Fills the places of a template in one pass, so that braces in the data stay what they are.
    fn fill(&self, template: &str, question: &str) -> String {
        let places =
            [("{question}", question), ("{ground_truth}", self.ground_truth), ("{prediction}", self.prediction)];
        let mut filled = String::new();
        let mut rest = template;
        while let Some((start, name, value)) = next_place(rest, &places) {
            filled.push_str(&rest[..start]);
            filled.push_str(value);
            rest = &rest[start + name.len()..];
        }
        filled.push_str(rest);
        filled
    }
}

/// Where the first place is in a text, its name and its value.
fn next_place<'a>(text: &str, places: &[(&'a str, &'a str)]) -> Option<(usize, &'a str, &'a str)> {
    let found = places.iter().filter_map(|&(name, value)| Some((text.find(name)?, name, value)));
    found.min_by_key(|&(start, ..)| start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_in_the_data_are_not_filled_in() {
        let asked = Question { question: "{prediction}?", ground_truth: "{", prediction: "{ground_truth}" };
        let filled = asked.verifier_prompt();
        assert!(filled.contains("Problem: {prediction}?\n"), "{filled}");
        assert!(filled.contains("(**Model Predicted Answer**): {ground_truth}\n"), "{filled}");
        assert!(filled.ends_with("(**Ground Truth Answer**): {\n"), "{filled}");
    }

    #[test]
    fn only_the_verifier_is_spared_the_image_marks() {
        let asked = Question { question: "<image>\nHow many?", ground_truth: "2", prediction: "3" };
        assert!(asked.judge_prompt().contains("**: <image>\nHow many?\n2. "));
        assert!(!asked.verifier_prompt().contains("<image>"));
    }
}
