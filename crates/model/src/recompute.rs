//! Training with little memory: the forward pass keeps the inputs of blocks alone, the backward pass runs each block again.

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Int, TensorData};
use visionthink_image::GridThw;

use crate::error::ModelError;
use crate::gradients::add_gradients;
use crate::model::Model;
use crate::position::MropeBatch;
use crate::text::Geometry;
use crate::vision::Layout;

/// What a forward pass left for the backward pass: [`Model::forward_keeping_inputs`].
#[derive(Debug)]
pub struct KeptInputs {
    images: Option<KeptImages>,
    /// With its tape, back to the embedding and to the image tokens.
    embeds: Tensor<3>,
    /// Of every layer, and of the last norm, on the plain device.
    layers: Vec<Tensor<3>>,
    batch: MropeBatch,
}

/// Distinct images, and where their tokens stand.
#[derive(Debug)]
pub struct ShownImages<'a> {
    /// Patches, [P, patch values], on the plain device.
    pub pixels: Tensor<2>,
    /// Sizes in patches.
    pub grids: &'a [GridThw],
    /// See [`image_rows`].
    pub rows: &'a [i64],
}

/// The image tokens that a batch shows: `rows` are the places of the distinct images' tokens, in the order of the ids. An image that
/// several sequences show is in it several times.
///
/// Shapes: [M, C] -> [rows, C].
pub fn image_rows(distinct: Tensor<2>, rows: &[i64]) -> Tensor<2> {
    if rows.len() == distinct.dims()[0] && rows.iter().copied().eq(0..rows.len() as i64) {
        return distinct;
    }
    let device = distinct.device();
    distinct.select(0, Tensor::<1, Int>::from_data(TensorData::from(rows), &device))
}

/// The same of a vision tower that learns.
#[derive(Debug)]
struct KeptImages {
    pixels: Tensor<2>,
    grids: Vec<GridThw>,
    /// Of every block, and of the merger.
    blocks: Vec<Tensor<3>>,
    /// The tokens of the distinct images, which the embedding took its rows from.
    leaf: Tensor<2>,
}

impl Model {
    /// [`Model::encode_images`], [`Model::embed`] and [`Model::forward`] in one, for a model on an autodiff device: the hidden states, on
    /// the plain device, and what [`Model::backward_from_inputs`] needs.
    ///
    /// Between the two, memory holds one [B, T, C] per layer and one [P, C] per block of the tower instead of everything inside them; the
    /// price is a second forward pass.
    ///
    /// Shapes: -> [B, T, C].
    ///
    /// # Errors
    /// As [`Model::encode_images`] and [`Model::embed`].
    ///
    /// Source: Chen et al. 2016, "Training deep nets with sublinear memory cost" (arXiv:1604.06174).
    pub fn forward_keeping_inputs(
        &self,
        ids: &[impl AsRef<[u32]>],
        images: Option<ShownImages<'_>>,
        batch: &MropeBatch,
    ) -> Result<(Tensor<3>, KeptInputs), ModelError> {
        let plain = self.valid();
        let (tokens, images) = match images {
            None => (None, None),
            Some(ShownImages { pixels, grids, rows }) => {
                let dtype = self.tower_for(&pixels, grids)?.0.patch_embed.proj.weight.dtype();
                let pixels = pixels.cast(dtype);
                let (tokens, blocks) = plain.encode_keeping(pixels.clone(), grids)?;
                let tokens = Tensor::from_inner(tokens);
                if self.visual.as_ref().is_some_and(learns) {
                    let leaf = tokens.require_grad();
                    let kept = KeptImages { pixels, grids: grids.to_vec(), blocks, leaf: leaf.clone() };
                    (Some(image_rows(leaf, rows)), Some(kept))
                } else {
                    (Some(image_rows(tokens, rows)), None)
                }
            }
        };
        let embeds = self.embed(ids, tokens)?;
        let decoder = &plain.language_model;
        let mut x = embeds.clone().inner();
        let geometry = Geometry::new(&x, batch, None, plain.config());
        let mut layers = Vec::with_capacity(decoder.layers.len() + 1);
        for layer in &decoder.layers {
            layers.push(x.clone());
            x = layer.forward(x, &geometry, None);
        }
        layers.push(x.clone());
        let hidden = decoder.norm.forward(x);
        Ok((hidden, KeptInputs { images, embeds, layers, batch: batch.clone() }))
    }

    /// Image tokens, and the inputs of the blocks and of the merger.
    fn encode_keeping(&self, pixels: Tensor<2>, grids: &[GridThw]) -> Result<(Tensor<2>, Vec<Tensor<3>>), ModelError> {
        let (tower, config) = self.tower_for(&pixels, grids)?;
        let layout = Layout::new(grids, config, &pixels.device());
        let mut x = tower.first(pixels, &layout);
        let mut inputs = Vec::with_capacity(tower.blocks.len() + 1);
        for number in 0..tower.blocks.len() {
            inputs.push(x.clone());
            x = tower.block(number, x, &layout);
        }
        inputs.push(x.clone());
        Ok((tower.last(x, &layout), inputs))
    }

    /// The gradients of all parameters that learn, given those of the loss by the hidden states.
    ///
    /// Shapes: `slope` [B, T, C], on the plain device.
    ///
    /// # Panics
    /// `kept` is of another model.
    pub fn backward_from_inputs(&self, kept: KeptInputs, slope: Tensor<3>) -> Option<Gradients> {
        let KeptInputs { images, embeds, mut layers, batch } = kept;
        let decoder = &self.language_model;
        let mut sum = Sum(None);
        let input = layers.pop().expect("the norm has an input");
        let mut slope = sum.through(&decoder.norm, input, slope, |x| decoder.norm.forward(x));
        let geometry = Geometry::new(&embeds, &batch, None, self.config());
        for (layer, input) in decoder.layers.iter().zip(layers).rev() {
            slope = sum.through(layer, input, slope, |x| layer.forward(x, &geometry, None));
        }
        if !embeds.is_tracked() {
            return sum.0;
        }
        let mut found = weighted(embeds, slope).backward();
        let image_slope = images.as_ref().and_then(|images| images.leaf.grad_remove(&mut found));
        sum.add(&decoder.embed_tokens, found);
        if let (Some(images), Some(slope)) = (images, image_slope) {
            self.backward_images(images, slope, &mut sum);
        }
        sum.0
    }

    fn backward_images(&self, kept: KeptImages, slope: Tensor<2>, sum: &mut Sum) {
        let KeptImages { pixels, grids, mut blocks, leaf: _ } = kept;
        let pixels = Tensor::from_inner(pixels);
        let (tower, config) = self.tower_for(&pixels, &grids).expect("the forward pass took the same images");
        let layout = Layout::new(&grids, config, &pixels.device());
        let input = blocks.pop().expect("the merger has an input");
        let mut slope = sum.through(&tower.merger, input, slope, |x| tower.last(x, &layout));
        for (number, input) in blocks.into_iter().enumerate().rev() {
            slope = sum.through(&tower.blocks[number], input, slope, |x| tower.block(number, x, &layout));
        }
        let first = tower.first(pixels, &layout);
        if first.is_tracked() {
            sum.add(&tower.patch_embed, weighted(first, slope).backward());
        }
    }
}

/// A sum whose gradient by `output` is `slope`; its value means nothing.
fn weighted<const D: usize>(output: Tensor<D>, slope: Tensor<D>) -> Tensor<1> {
    (output * Tensor::from_inner(slope)).sum()
}

/// Gradients so far.
struct Sum(Option<Gradients>);

impl Sum {
    /// Runs a block again with a tape, and gives the gradient by its input for that by its output.
    fn through<const D: usize>(
        &mut self,
        module: &impl Module,
        input: Tensor<3>,
        slope: Tensor<D>,
        block: impl FnOnce(Tensor<3>) -> Tensor<D>,
    ) -> Tensor<3> {
        let leaf = Tensor::from_inner(input).require_grad();
        let mut found = weighted(block(leaf.clone()), slope).backward();
        let slope = leaf.grad_remove(&mut found).expect("a block depends on its input");
        self.add(module, found);
        slope
    }

    fn add(&mut self, module: &impl Module, found: Gradients) {
        match &mut self.0 {
            Some(sum) => add_gradients(module, found, sum),
            None => self.0 = Some(found),
        }
    }
}

/// Whether a parameter of the module records gradients.
fn learns(module: &impl Module) -> bool {
    struct Finder(bool);
    impl ModuleVisitor for Finder {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.val().is_require_grad();
        }
    }
    let mut finder = Finder(false);
    module.visit(&mut finder);
    finder.0
}
