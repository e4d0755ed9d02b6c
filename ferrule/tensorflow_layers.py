"""What only TensorFlow has: batch normalisation fused into one bfloat16 operation.

Keras computes batch normalisation in float32 and in several operations, which costs a bfloat16 network all it gains
(measured on a processor with AVX-512 bf16: a whole training step takes 2.5 times as long). Only training uses this
layer; models are saved with keras' own, to which the weights are copied.
"""

import tensorflow as tf

from ferrule.backends import keras


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """keras' BatchNormalization of the last axis of (b, h, w, c), computed by FusedBatchNormV3."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: None = None) -> tf.Tensor:
        """Normalise `inputs`; in training by the batch's moments, which move the averages too."""
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=self.moving_mean,
            variance=self.moving_variance,
            epsilon=self.epsilon,
            exponential_avg_factor=1.0 - self.momentum if training else 1.0,
            is_training=bool(training),
        )
        if training:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return outputs
