"""The schedule against the thesis's table, the sampler against diffusers and against an exact solution."""

import math

import pytest
import torch
from diffusers import DDIMScheduler

from flowsdf.generative.diffusion import cosine_alpha_bar, denoised, implied_noise_mse, noised, sample, shifted, x0_loss

torch.set_num_threads(1)
TIMES = torch.tensor([0, 50, 100, 200, 300, 450])  # 004, the table of section 3.2
ALPHA_BAR = ["0.9999", "0.9711", "0.8968", "0.6445", "0.3379", "0.0231"]
X0_MSE = torch.tensor([0.18912, 0.18286, 0.18700, 0.18563, 0.19423, 0.19252])
NOISE_MSE = ["2164.16", "6.13", "1.63", "0.34", "0.10", "0.005"]


def gaussian_model(mean: float, std: float, alpha_bar: torch.Tensor):
    """E[x0 | x_t] for x0 ~ N(mean, std^2), exactly."""

    def model(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        a = alpha_bar[t].view(-1, 1)
        return mean + std**2 * a.sqrt() / (std**2 * a + 1 - a) * (x - a.sqrt() * mean)

    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_schedule_reproduces_the_thesis(dtype: torch.dtype) -> None:
    assert [f"{a:.4f}" for a in cosine_alpha_bar(dtype=dtype)[TIMES].tolist()] == ALPHA_BAR


def test_schedule_falls_from_one_to_zero() -> None:
    alpha_bar = cosine_alpha_bar()
    assert (alpha_bar.diff() < 0).all()
    assert 0 <= alpha_bar[-1] < 1e-9


def test_implied_noise_error_reproduces_the_thesis_in_float32_only() -> None:
    got = implied_noise_mse(X0_MSE, cosine_alpha_bar()[TIMES])
    assert [f"{v:.{len(text.split('.')[1])}f}" for v, text in zip(got[1:].tolist(), NOISE_MSE[1:], strict=True)] == (
        NOISE_MSE[1:]
    )
    rounding = 5e-6 / X0_MSE[0].item() * 2164.16  # what five printed digits of the x0 error leave open
    exact = implied_noise_mse(X0_MSE.double(), cosine_alpha_bar(dtype=torch.float64)[TIMES])
    assert abs(got[0].item() - 2164.16) < rounding < abs(exact[0].item() - 2164.16)


def test_noised_has_the_moments_of_the_forward_process() -> None:
    x0 = torch.full((200_000, 1), 3.0)
    x = noised(x0, torch.full((200_000,), 0.36), torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)))
    assert abs(x.mean() - 0.6 * 3) < 0.01
    assert abs(x.std() - 0.8) < 0.01


def test_the_noise_tells_what_it_hides_while_there_is_signal() -> None:
    x0, noise, alpha_bar = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0.999, 0.5, 0.01, 0.0])
    back = denoised(noised(x0, alpha_bar, noise), alpha_bar, noise)
    torch.testing.assert_close(back[:3], x0[:3], atol=1e-4, rtol=1e-4)
    assert torch.isfinite(back).all()


def test_x0_loss_is_zero_for_the_truth_and_sees_the_noised_input() -> None:
    x0, noise, t = torch.randn(6, 4), torch.randn(6, 4), torch.randint(500, (6,))
    alpha_bar = cosine_alpha_bar()
    assert x0_loss(lambda x, t: x0, x0, t, noise, alpha_bar) == 0
    expected = (x0 - noised(x0, alpha_bar[t], noise)).square().mean()
    torch.testing.assert_close(x0_loss(lambda x, t: x, x0, t, noise, alpha_bar), expected)


@pytest.mark.parametrize("steps", [50, 10, 1])
def test_sampler_equals_diffusers(steps: int) -> None:
    alpha_bar = cosine_alpha_bar(dtype=torch.float64)
    betas = 1 - alpha_bar / torch.cat((torch.ones(1, dtype=torch.float64), alpha_bar[:-1]))
    oracle = DDIMScheduler(
        500, trained_betas=betas.tolist(), clip_sample=False, timestep_spacing="trailing", prediction_type="sample"
    )
    oracle.alphas_cumprod = alpha_bar
    oracle.set_timesteps(steps)
    model = gaussian_model(1.5, 0.3, alpha_bar)
    x = noise = torch.randn(16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = []
    for t in oracle.timesteps:
        x = oracle.step(model(x, t.expand(16)), t, x).prev_sample
    ours = sample(lambda x, t: seen.append(t[0].item()) or model(x, t), noise, alpha_bar=alpha_bar, steps=steps)
    assert seen == oracle.timesteps.tolist()
    torch.testing.assert_close(ours, x, atol=1e-9, rtol=0)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1.5, 0.3)])
def test_exact_gaussian_model_returns_its_mean_and_std(mean: float, std: float) -> None:
    alpha_bar = cosine_alpha_bar(dtype=torch.float64)
    noise = torch.tensor([[-1.0], [0.0], [1.0]], dtype=torch.float64)  # the map is affine: three points tell all of it
    model = gaussian_model(mean, std, alpha_bar)
    errors = []
    for steps in (25, 50, 100, 250):
        low, middle, high = sample(model, noise, alpha_bar=alpha_bar, steps=steps)[:, 0].tolist()
        assert math.isclose(middle, mean, abs_tol=1e-5)
        errors.append(abs((high - low) / 2 - std))
    assert errors[-1] < 0.02 * std
    slopes = [math.log2(a / b) for a, b in zip(errors, errors[1:3], strict=False)]
    assert all(0.8 < slope < 1.3 for slope in slopes)  # first order


def test_a_shifted_schedule_has_its_signal_over_noise_scaled():
    alpha_bar = cosine_alpha_bar(dtype=torch.float64)
    ratio = (alpha_bar / (1 - alpha_bar)).sqrt()
    for factor in (0.03, 2.0):
        of = shifted(alpha_bar, factor)
        torch.testing.assert_close((of / (1 - of)).sqrt(), factor * ratio)
    torch.testing.assert_close(shifted(alpha_bar, 1.0), alpha_bar)
    assert not shifted(alpha_bar, 0.0).any()


def test_without_signal_a_sample_is_the_answer_to_noise():
    """The deterministic control: what is denoised holds nothing, so the last answer is the first."""
    alpha_bar, answer = shifted(cosine_alpha_bar(), 0.0), torch.randn(3, 4)
    seen = []
    got = sample(lambda x, t: seen.append(x) or answer, torch.randn(3, 4), alpha_bar=alpha_bar, steps=5)
    torch.testing.assert_close(got, answer)
    assert all(torch.allclose(x, seen[0]) for x in seen)
