//! The device, chosen once and passed down.

use std::str::FromStr;

use burn::tensor::Device;

use crate::failure::Failure;

/// `auto|cpu|cuda:N|vulkan:N|metal|rocm:N|tch:N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceChoice {
    Auto,
    Cpu,
    Named(String),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, index) = text.split_once(':').unwrap_or((text, "0"));
        if index.parse::<usize>().is_err() {
            return Err(format!("device index `{index}` is not a number; write it as `{name}:0`"));
        }
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" | "rocm" | "vulkan" | "metal" | "tch" => Ok(Self::Named(text.to_owned())),
            _ => Err(format!("unknown device `{text}`; expected auto, cpu, cuda:N, rocm:N, vulkan:N, metal or tch:N")),
        }
    }
}

impl DeviceChoice {
    /// The device itself, and its name for reports.
    ///
    /// # Errors
    ///
    /// When this build does not hold the device's backend.
    pub(crate) fn open(&self) -> Result<(Device, String), Failure> {
        match self {
            Self::Auto => Ok(accelerator(None).unwrap_or_else(|| (Device::flex(), "cpu".to_owned()))),
            Self::Cpu => Ok((Device::flex(), "cpu".to_owned())),
            Self::Named(text) => {
                let name = text.split(':').next().unwrap_or(text);
                accelerator(Some(text)).ok_or_else(|| {
                    Failure::usage(format!("device `{text}` is not in this build"))
                        .hint(format!("rebuild with `--features {name}`"))
                })
            }
        }
    }
}

/// The named accelerator, or the first that this build holds. Features add devices here and change nothing else.
fn accelerator(wanted: Option<&str>) -> Option<(Device, String)> {
    let (name, index) = match wanted {
        Some(text) => text.split_once(':').map_or((text, 0), |(name, index)| (name, index.parse().unwrap_or(0))),
        None => ("", 0_usize),
    };
    let wants = |device: &str| wanted.is_none() || name == device;
    #[cfg(feature = "cuda")]
    if wants("cuda") {
        return Some((Device::cuda(index), format!("cuda:{index}")));
    }
    #[cfg(feature = "rocm")]
    if wants("rocm") {
        return Some((Device::rocm(index), format!("rocm:{index}")));
    }
    #[cfg(feature = "metal")]
    if wants("metal") {
        return Some((Device::metal(burn::tensor::DeviceKind::DefaultDevice), "metal".to_owned()));
    }
    #[cfg(feature = "vulkan")]
    if wants("vulkan") {
        return Some((Device::vulkan(burn::tensor::DeviceKind::DiscreteGpu(index)), format!("vulkan:{index}")));
    }
    #[cfg(feature = "tch")]
    if wants("tch") {
        return Some((Device::libtorch_cuda(index), format!("tch:{index}")));
    }
    let _ = (wants, index);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_unknown_ones_are_refused() {
        assert_eq!("cpu".parse(), Ok(DeviceChoice::Cpu));
        assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Named("cuda:1".to_owned())));
        assert!("gpu".parse::<DeviceChoice>().is_err());
        assert!("cuda:x".parse::<DeviceChoice>().is_err());
    }
}
