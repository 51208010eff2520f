"""Variational autoencoder on flat images. Kingma and Welling, ICLR 2014."""
from __future__ import annotations

import tensorgrad as torch
from tensorgrad import nn
from tensorgrad.nn import functional as F


class VAE(nn.Module):
    def __init__(self, pixels=784, hidden=400, latent=20):
        super().__init__()
        self.pixels = pixels
        self.fc1 = nn.Linear(pixels, hidden)
        self.fc21, self.fc22 = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.fc3, self.fc4 = nn.Linear(latent, hidden), nn.Linear(hidden, pixels)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        return mu + torch.randn_like(std) * std if self.training else mu + 0.5 * std

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, self.pixels))
        z = self.reparameterize(mu, logvar)
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


MODELS = {"vae": (VAE, 652_824, "fc1.weight fc21.bias fc22.weight fc4.bias")}
SMALL = {"vae": (lambda: VAE(30, 12, 4).eval(), (3, 30), (3, 30))}
