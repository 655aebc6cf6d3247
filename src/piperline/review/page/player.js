"use strict";
// The videos of an episode in step: the first is the clock, the others are held to it. Without videos a clock runs alone.

class Player {
  /** `show(frame)` is called whenever another frame is shown. */
  constructor(videos, frames, fps, show) {
    Object.assign(this, { videos, frames, fps, show, frame: 0, playing: false, speed: 1 });
    for (const video of videos) {
      video.muted = true;
      video.wanted = null;
      video.addEventListener("seeked", () => this.seekAgain(video));
      video.addEventListener("loadedmetadata", () => this.find(video));
      this.watch(video);
    }
  }

  /** Has the browser draw each picture that it finds: Chromium may otherwise leave the one before a seek on the screen. */
  watch(video) {
    video.requestVideoFrameCallback?.(() => this.watch(video));
  }

  /** The middle of a frame: at its start browsers show the one before. */
  timeOf(frame) {
    return (frame + 0.5) / this.fps;
  }

  find(video) {
    if (video.seeking) {
      video.wanted = this.frame;
    } else if (video.readyState > 0) {
      video.currentTime = this.timeOf(this.frame);
    }
  }

  seekAgain(video) {
    if (video.wanted !== null) {
      video.wanted = null;
      this.find(video);
    }
  }

  seek(frame) {
    this.pause();
    this.set(frame);
    this.videos.forEach((video) => this.find(video));
  }

  step(frames) {
    this.seek(this.frame + frames);
  }

  set(frame) {
    this.frame = Math.min(this.frames - 1, Math.max(0, frame));
    this.show(this.frame);
  }

  toggle() {
    this.playing ? this.seek(this.frame) : this.play();
  }

  play() {
    if (this.frame === this.frames - 1) {
      this.seek(0);
    }
    this.playing = true;
    this.began = performance.now() - (this.frame / this.fps / this.speed) * 1000;
    for (const video of this.videos) {
      video.playbackRate = this.speed;
      video.play().catch(() => {}); // a video that is missing: the clock runs alone
    }
    this.show(this.frame);
    requestAnimationFrame(() => this.tick());
  }

  pause() {
    this.playing = false;
    this.videos.forEach((video) => video.pause());
  }

  setSpeed(speed) {
    const playing = this.playing;
    this.seek(this.frame);
    this.speed = speed;
    if (playing) {
      this.play();
    }
    this.show(this.frame);
  }

  tick() {
    if (!this.playing) {
      return;
    }
    const clock = this.videos.find((video) => video.readyState >= 2 && !video.error);
    const ran = ((performance.now() - this.began) / 1000) * this.speed;
    const time = clock ? clock.currentTime : ran;
    this.videos.forEach((video) => this.hold(video, clock, time));
    const frame = Math.floor(time * this.fps + 1e-3);
    if (frame !== this.frame) {
      this.set(frame);
    }
    if (frame >= this.frames - 1 || clock?.ended) {
      this.seek(this.frames - 1);
    } else {
      requestAnimationFrame(() => this.tick());
    }
  }

  hold(video, clock, time) {
    if (video !== clock && !video.seeking && Math.abs(video.currentTime - time) > 1 / this.fps) {
      video.currentTime = time;
    }
  }

  end() {
    this.pause();
    for (const video of this.videos) {
      video.removeAttribute("src");
      video.load();
    }
  }
}
